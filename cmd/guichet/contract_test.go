package main

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"guichet/api"
)

// contractOperation is an operation of the contract, as tests go through them all.
type contractOperation struct {
	*openapi3.Operation
	method, path string
	parameters   []*openapi3.Parameter
	public       bool // needs no session
}

// contractOperations lists the operations of the contract, in a fixed order.
func contractOperations(t testing.TB) []contractOperation {
	t.Helper()
	spec, err := api.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	var all []contractOperation
	for path, item := range spec.Paths.Map() {
		for method, operation := range item.Operations() {
			o := contractOperation{Operation: operation, method: method, path: path}
			o.public = operation.Security != nil && len(*operation.Security) == 0
			for _, p := range append(slices.Clone(item.Parameters), operation.Parameters...) {
				o.parameters = append(o.parameters, p.Value)
			}
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b contractOperation) int { return cmp.Compare(a.OperationID, b.OperationID) })
	return all
}

// parameter finds a parameter, or nil.
func (o *contractOperation) parameter(in, name string) *openapi3.Parameter {
	for _, p := range o.parameters {
		if p.In == in && p.Name == name {
			return p
		}
	}
	return nil
}

// fill is the path with its parameters: those given, or else the contract's examples.
func (o *contractOperation) fill(values map[string]string) string {
	path := o.path
	for _, p := range o.parameters {
		if p.In != openapi3.ParameterInPath {
			continue
		}
		value, given := values[p.Name]
		if !given {
			value, _ = p.Schema.Value.Example.(string)
		}
		path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(value))
	}
	return path
}

// body is the schema of the operation's body, or nil.
func (o *contractOperation) body() *openapi3.Schema {
	if o.RequestBody == nil {
		return nil
	}
	json := o.RequestBody.Value.Content["application/json"]
	if json == nil { // a form
		return nil
	}
	return json.Schema.Value
}

// streams says whether the answer is a stream, which does not end by itself.
func (o *contractOperation) streams() bool {
	ok := o.Responses.Status(http.StatusOK)
	return ok != nil && ok.Value.Content["text/event-stream"] != nil
}
