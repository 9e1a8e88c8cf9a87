package packed

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"guichet/models/id"
)

func FuzzReader(f *testing.F) {
	f.Add("text", uint64(300), int64(-5), []byte("0123456789abcdef0123456789abcdef"))
	f.Fuzz(func(t *testing.T, text string, unsigned uint64, signed int64, raw []byte) {
		ids := make([]id.ID, len(raw)/16)
		for i := range ids {
			copy(ids[i][:], raw[16*i:])
		}
		b := AppendIDs(AppendBytes(nil, text), ids)
		b = binary.AppendVarint(binary.AppendUvarint(b, unsigned), signed)
		r := Reader{Rest: b}
		if string(r.Bytes()) != text || !slices.Equal(r.IDs(), ids) || r.Uvarint() != unsigned || r.Varint() != signed || r.Err() != nil || len(r.Rest) > 0 {
			t.Errorf("%x is read back as something else (%v)", b, r.Err())
		}
		short := Reader{Rest: b[:len(b)-1]}
		short.Bytes()
		short.IDs()
		short.Uvarint()
		short.Varint()
		if !errors.Is(short.Err(), ErrTruncated) {
			t.Errorf("%x is read to its end", b[:len(b)-1])
		}
		wild := Reader{Rest: raw} // whatever comes, it ends
		wild.Bytes()
		wild.IDs()
	})
}
