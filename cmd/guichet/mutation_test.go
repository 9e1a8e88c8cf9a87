package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// mutant is a value that is near what a schema asks for.
type mutant struct {
	what  string
	value any // absent for none
	valid bool
}

// absent stands for no value at all.
type absent struct{}

// example is a value that the schema takes: its example, or one that is made up.
func example(s *openapi3.Schema) any {
	switch {
	case s.Example != nil:
		return s.Example
	case len(s.Enum) > 0:
		return s.Enum[0]
	case len(s.AllOf) > 0:
		return example(s.AllOf[0].Value)
	case len(s.OneOf) > 0:
		return example(s.OneOf[0].Value)
	case s.Type.Is(openapi3.TypeObject):
		object := map[string]any{}
		for name, property := range s.Properties {
			object[name] = example(property.Value)
		}
		return object
	case s.Type.Is(openapi3.TypeArray):
		return []any{example(s.Items.Value)}
	case s.Type.Is(openapi3.TypeBoolean):
		return true
	case s.Type.Is(openapi3.TypeInteger), s.Type.Is(openapi3.TypeNumber):
		if s.Min != nil {
			return *s.Min
		}
		return 1.0
	default:
		return strings.Repeat("a", int(max(s.MinLength, 1)))
	}
}

// mutants are values at and beyond the limits of the schema, of other types, and of any size.
func mutants(s *openapi3.Schema) []mutant {
	if len(s.AllOf) == 1 {
		return mutants(s.AllOf[0].Value)
	}
	values := map[string]any{
		"null": nil, "true": true, "a number": 7.0, "a fraction": 1.5, "zero": 0.0, "minus one": -1.0, "2^63": math.Pow(2, 63), "10^300": 1e300, "a string": "x", "an empty string": "",
		"an array": []any{}, "an array of it": []any{example(s)}, "an object": map[string]any{}, "a nested object": map[string]any{"a": map[string]any{"b": []any{nil}}},
		"controls": "a\x00b\x1b[31m\r\nc", "a quote": `'"; DROP TABLE users; --`, "a script": "<script>alert(1)</script>", "a format": "%s%n{{7*7}}${x}", "invisible": "a\u200b\u202eb",
		"planes": "𝔘𝔫𝔦😀", "half a pair": "\ufffd", "a path": "../../etc/passwd", "long": strings.Repeat("x", 5000), "huge": strings.Repeat("é", 200_000),
	}
	for name, property := range s.Properties {
		for _, m := range mutants(property.Value) {
			values[name+": "+m.what] = with(example(s), name, m.value)
		}
		values["without "+name] = with(example(s), name, absent{})
	}
	if s.Type.Is(openapi3.TypeObject) {
		values["an extra field"] = with(example(s), "extra", "x")
		values["as it should be"] = example(s)
	}
	if s.Items != nil {
		for _, m := range mutants(s.Items.Value) {
			values["an item: "+m.what] = []any{m.value}
		}
		values["very many"] = slices.Repeat([]any{example(s.Items.Value)}, 2000)
	}
	addBoundaries(values, s)
	var all []mutant
	for _, what := range slices.Sorted(maps.Keys(values)) {
		if _, none := values[what].(absent); none {
			continue
		}
		all = append(all, mutant{what, values[what], s.VisitJSON(plain(values[what]), openapi3.VisitAsRequest()) == nil})
	}
	return all
}

func addBoundaries(values map[string]any, s *openapi3.Schema) {
	if s.Min != nil {
		values["the least"], values["less than the least"] = *s.Min, *s.Min-1
	}
	if s.Max != nil {
		values["the most"], values["more than the most"] = *s.Max, *s.Max+1
	}
	if s.Type.Is(openapi3.TypeString) {
		values["shortest"] = strings.Repeat("A", int(s.MinLength))
		if s.MinLength > 0 {
			values["too short"] = strings.Repeat("A", int(s.MinLength)-1)
		}
		if s.MaxLength != nil {
			values["longest"], values["too long"] = strings.Repeat("A", int(*s.MaxLength)), strings.Repeat("A", int(*s.MaxLength)+1)
			values["longest of wide letters"] = strings.Repeat("Ж", int(*s.MaxLength))
			values["longest of pairs"] = strings.Repeat("😀", int(*s.MaxLength)/2)
		}
	}
	for _, value := range s.Enum {
		values[fmt.Sprint("the word ", value)] = value
	}
}

// with is a copy of an object with one member changed, or left out.
func with(object any, name string, value any) any {
	changed, isObject := object.(map[string]any)
	if !isObject {
		return absent{}
	}
	changed = maps.Clone(changed)
	if _, none := value.(absent); none {
		delete(changed, name)
	} else {
		changed[name] = value
	}
	return changed
}

// plain is the value as JSON has it.
func plain(value any) (decoded any) {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	if err := json.Unmarshal(text, &decoded); err != nil {
		panic(err)
	}
	return decoded
}

// asParameter writes a value as it stands in a path, a query or a header; ok is false for those that cannot.
func asParameter(value any) (text string, ok bool) {
	switch v := value.(type) {
	case string:
		return v, len(v) < 4000 // or no server reads the head
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e18 {
			return strconv.FormatInt(int64(v), 10), true
		}
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	default:
		return "", false
	}
}
