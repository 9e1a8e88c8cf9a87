package handlers

import (
	"math/bits"
	"regexp"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/tidwall/gjson"
)

// plainBody is what a schema asks of an object whose members are texts, whole numbers and lists of texts. A body that is plainly so need not go through the schema,
// for which it has to be read into maps first: a tenth of what a request costs. What is not plainly so may suit all the same, and the schema tells what is wrong with
// what does not.
type plainBody struct {
	members  map[string]plainMember
	required uint64 // the bits of those
	least    int    // how many members there must be
}

// plainMember is a member's part. Lengths are in bytes: plain bodies are ASCII.
type plainMember struct {
	bit         uint64
	kind        string // as the schema has it
	least, most int64  // of a number; of a text's length; of how many there are in a list
	pattern     *regexp.Regexp
	unique      bool
	item        *plainMember
}

// mostDigits keeps numbers within 64 bits.
const mostDigits = 18

// asPlainBody returns nil for a schema that asks for more. Members that ask for more are left out: a body that has them is not plain.
func asPlainBody(schema *openapi3.Schema) *plainBody {
	closed := schema.AdditionalProperties.Has != nil && !*schema.AdditionalProperties.Has
	if !schema.Type.Is(openapi3.TypeObject) || !closed || schema.MaxProps != nil || composed(schema) || len(schema.Properties) > 64 {
		return nil
	}
	p := &plainBody{members: map[string]plainMember{}, least: int(schema.MinProps)}
	bit := uint64(1)
	for name, property := range schema.Properties {
		if member, ok := asPlainMember(property.Value); ok {
			member.bit = bit
			p.members[name] = *member
			bit <<= 1
		}
	}
	for _, name := range schema.Required {
		member, plain := p.members[name]
		if !plain {
			return nil
		}
		p.required |= member.bit
	}
	return p
}

func composed(s *openapi3.Schema) bool {
	return len(s.AllOf)+len(s.AnyOf)+len(s.OneOf)+len(s.Enum) > 0 || s.Not != nil || s.Nullable
}

func asPlainMember(s *openapi3.Schema) (*plainMember, bool) {
	const most = 1<<63 - 1
	if composed(s) || s.Type == nil || len(*s.Type) != 1 {
		return nil, false
	}
	m := &plainMember{kind: (*s.Type)[0], most: most}
	var err error
	switch m.kind {
	case openapi3.TypeString:
		m.least = int64(s.MinLength)
		if s.MaxLength != nil {
			m.most = int64(*s.MaxLength)
		}
		if s.Pattern != "" {
			m.pattern, err = regexp.Compile(s.Pattern)
		}
		return m, err == nil && s.Format == ""
	case openapi3.TypeInteger:
		if s.Min == nil || s.Max == nil || s.MultipleOf != nil || s.ExclusiveMin.IsSet() || s.ExclusiveMax.IsSet() {
			return nil, false
		}
		m.least, m.most = int64(*s.Min), int64(*s.Max)
		return m, float64(m.least) == *s.Min && float64(m.most) == *s.Max && *s.Max < 1<<53
	case openapi3.TypeArray:
		m.least, m.unique = int64(s.MinItems), s.UniqueItems
		if s.MaxItems != nil {
			m.most = int64(*s.MaxItems)
		}
		item, ok := asPlainMember(s.Items.Value)
		m.item = item
		return m, ok && item.kind == openapi3.TypeString
	default:
		return nil, false
	}
}

// suits says whether the body is plainly as the schema has it.
func (p *plainBody) suits(body []byte) bool {
	if p == nil || !isPlainText(body) || !gjson.ValidBytes(body) {
		return false
	}
	object := gjson.ParseBytes(body)
	if !object.IsObject() {
		return false
	}
	seen := uint64(0)
	plain := true
	object.ForEach(func(name, value gjson.Result) bool {
		member, known := p.members[name.Str]
		plain = known && seen&member.bit == 0 && member.suits(value)
		seen |= member.bit
		return plain
	})
	return plain && seen&p.required == p.required && bits.OnesCount64(seen) >= p.least
}

// isPlainText says whether there is nothing but ASCII, and nothing that is escaped.
func isPlainText(body []byte) bool {
	for _, b := range body {
		if b >= 0x80 || b == '\\' {
			return false
		}
	}
	return true
}

func (m *plainMember) suits(value gjson.Result) bool {
	switch m.kind {
	case openapi3.TypeString:
		return value.Type == gjson.String && m.within(int64(len(value.Str))) && (m.pattern == nil || m.pattern.MatchString(value.Str))
	case openapi3.TypeInteger:
		if value.Type != gjson.Number || len(value.Raw) > mostDigits {
			return false
		}
		n, err := strconv.ParseUint(value.Raw, 10, 63)
		return err == nil && m.within(int64(n))
	default:
		return value.IsArray() && m.suitsList(value)
	}
}

func (m *plainMember) suitsList(value gjson.Result) bool {
	items := value.Array()
	if !m.within(int64(len(items))) {
		return false
	}
	for i := range items {
		if !m.item.suits(items[i]) {
			return false
		}
		if !m.unique {
			continue
		}
		for j := range i { // lists are short
			if items[j].Str == items[i].Str {
				return false
			}
		}
	}
	return true
}

func (m *plainMember) within(n int64) bool { return m.least <= n && n <= m.most }
