package operation

import (
	"encoding/binary"
	"fmt"

	"guichet/models/lamport"
	"guichet/models/packed"
)

// envelopeFormat is the first byte of an envelope. One that another release wrote in another way is left to the journal.
const envelopeFormat = 1

// Encode writes the payload of the task.
func (e *Envelope) Encode() []byte {
	size := 64 + 24*len(e.Batches)
	for i := range e.Commands {
		size += 96 + len(e.Commands[i].Payload) + len(e.Commands[i].Traceparent)
	}
	b := append(make([]byte, 0, size), envelopeFormat)
	b = append(b, e.After[:]...)
	b = binary.AppendUvarint(b, uint64(len(e.Batches)))
	for i := range e.Batches {
		b = append(b, e.Batches[i].ID[:]...)
		b = binary.AppendUvarint(b, uint64(e.Batches[i].Operations))
	}
	b = binary.AppendUvarint(b, uint64(len(e.Commands)))
	for i := range e.Commands {
		c := &e.Commands[i]
		b = append(b, c.ID[:]...)
		b = append(b, c.UserID[:]...)
		b = packed.AppendBytes(b, c.Kind)
		b = packed.AppendBytes(b, c.Payload)
		b = binary.AppendUvarint(b, uint64(c.Lamport))
		b = binary.AppendVarint(b, Micro(c.SubmittedAt))
		b = packed.AppendBytes(b, c.Traceparent)
	}
	return b
}

// DecodeEnvelope reads the payload of a task of the named lane. The envelope keeps payload, which must not be changed afterwards.
func DecodeEnvelope(lane string, payload []byte) (*Envelope, error) {
	r := packed.Reader{Rest: payload}
	if format := r.Take(1); len(format) == 0 || format[0] != envelopeFormat {
		return nil, fmt.Errorf("operation: an envelope in format %v", format)
	}
	e := Envelope{After: r.ID(), Batches: make([]Batch, r.Count())}
	for i := range e.Batches {
		e.Batches[i] = Batch{ID: r.ID(), Operations: int(r.Uvarint())}
	}
	e.Commands = make([]Command, r.Count())
	for i := range e.Commands {
		e.Commands[i] = Command{ID: r.ID(), UserID: r.ID(), Lane: lane, Kind: string(r.Bytes()), Payload: r.Bytes(),
			Lamport: lamport.Stamp(r.Uvarint()), SubmittedAt: FromMicro(r.Varint()), Traceparent: string(r.Bytes())}
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("operation: decoding an envelope: %w", err)
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	return &e, nil
}

// check: the commands are those of the batches, which are taken out of line when the commands are executed: one that is missing here would be lost.
func (e *Envelope) check() error {
	if len(e.Batches) == 0 {
		return fmt.Errorf("operation: an envelope without a batch")
	}
	n := 0
	for _, batch := range e.Batches {
		for i := range batch.Operations {
			if n == len(e.Commands) || e.Commands[n].ID != batch.ID.WithIndex(batch.ID.Index()+i) {
				return fmt.Errorf("operation: an envelope without command %d of batch %s", i, batch.ID)
			}
			n++
		}
	}
	if n < len(e.Commands) {
		return fmt.Errorf("operation: an envelope with %d commands of no batch", len(e.Commands)-n)
	}
	return nil
}
