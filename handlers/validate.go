package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/labstack/echo/v4"

	"guichet/models/problem"
)

// contract finds the operation of the document that a request is for, by the route that Echo has chosen already. kin-openapi's own routers would
// find it a second time, by trying one regular expression after the other.
type contract struct {
	spec       *openapi3.T
	operations map[string]*contractOperation
}

// contractOperation is an operation as requests are checked against it.
type contractOperation struct {
	route      *routers.Route
	parameters []parameter      // those that the schema checks
	body       *openapi3.Schema // nil if there is none
	plain      *plainBody       // of the body; nil if its schema asks for more
	optional   bool             // the body may be left out
	form       bool             // the body is a form, which the handler reads while it arrives
	security   openapi3.SecurityRequirements
}

// byMiddleware are parameters that every call has, and that the middleware reads itself.
var byMiddleware = map[string]bool{"Lamport-Time": true, "Prefer": true}

func newContract(spec *openapi3.T) *contract {
	c := &contract{spec: spec, operations: map[string]*contractOperation{}}
	for path, item := range spec.Paths.Map() {
		for method, operation := range item.Operations() {
			o := &contractOperation{
				route:    &routers.Route{Spec: spec, Path: path, PathItem: item, Method: method, Operation: operation},
				security: spec.Security,
			}
			if operation.Security != nil {
				o.security = *operation.Security
			}
			for _, list := range []openapi3.Parameters{item.Parameters, operation.Parameters} {
				for _, p := range list {
					if !byMiddleware[p.Value.Name] {
						o.parameters = append(o.parameters, asParameter(p.Value))
					}
				}
			}
			if operation.RequestBody != nil {
				content := operation.RequestBody.Value.Content
				if json := content["application/json"]; json != nil {
					o.body = json.Schema.Value
					o.plain = asPlainBody(o.body)
				}
				o.form = content["multipart/form-data"] != nil
				o.optional = !operation.RequestBody.Value.Required
			}
			c.operations[method+" "+echoPath(path)] = o
		}
	}
	return c
}

// parameter is a parameter of the contract. Where a path takes any text of some length, what is plainly such a text need not go through the schema, which every
// request would pay a twentieth of its time for.
type parameter struct {
	*openapi3.Parameter
	plain       bool
	least, most int
}

func asParameter(p *openapi3.Parameter) parameter {
	schema := p.Schema.Value
	plain := p.In == openapi3.ParameterInPath && schema.Type.Is("string") && schema.Pattern == "" && schema.Format == "" && len(schema.Enum) == 0 && schema.MaxLength != nil &&
		len(schema.AllOf)+len(schema.AnyOf)+len(schema.OneOf) == 0
	if !plain {
		return parameter{Parameter: p}
	}
	return parameter{p, true, int(schema.MinLength), int(*schema.MaxLength)}
}

// suits says whether the value is plainly as the schema has it. What is not may be so all the same.
func (p *parameter) suits(value string) bool {
	return p.plain && p.least <= len(value) && len(value) <= p.most && value != "" && !strings.ContainsFunc(value, func(r rune) bool { return r >= utf8.RuneSelf })
}

// jsonBody reads bodies that were validated, and so are in memory.
type jsonBody struct{ echo.DefaultJSONSerializer }

// Deserialize is part of echo.JSONSerializer. What Go cannot take is told as Echo tells it.
func (b jsonBody) Deserialize(c echo.Context, into any) error {
	if body, read := c.Get(bodyRead).([]byte); read && json.Unmarshal(body, into) == nil {
		return nil
	}
	return b.DefaultJSONSerializer.Deserialize(c, into)
}

// echoPath is the path in Echo's notation: /a/{b} is /a/:b.
func echoPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// suffixOf is what a path has behind its last parameter, such as .png; mostly nothing.
func suffixOf(path string) string {
	_, suffix, _ := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], "}")
	return suffix
}

// cutSuffix gives a path's last parameter the name and the value that the contract means. To Echo a parameter reaches to the next slash: it takes the suffix
// for a part of the name, and anything for a value. What lacks the suffix is at no path of the contract.
func cutSuffix(suffix string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			names, values := slices.Clone(c.ParamNames()), slices.Clone(c.ParamValues())
			last := len(names) - 1
			value, found := strings.CutSuffix(values[last], suffix)
			if !found || value == "" {
				return echo.ErrNotFound
			}
			names[last], values[last] = strings.TrimSuffix(names[last], suffix), value
			c.SetParamNames(names...)
			c.SetParamValues(values...)
			return next(c)
		}
	}
}

// validate checks the parameters and the body, which it returns as canonical JSON. The request's body can be read again afterwards.
func (o *contractOperation) validate(c echo.Context) ([]byte, error) {
	var fields []problem.Field
	input := &openapi3filter.RequestValidationInput{Request: c.Request(), Route: o.route, PathParams: pathParameters(c)}
	if !isText(input) {
		return nil, problem.New(problem.Malformed, "The path and the query must be UTF-8.")
	}
	for i := range o.parameters {
		p := &o.parameters[i]
		if present(input, p.Parameter) && !p.suits(input.PathParams[p.Name]) {
			if err := openapi3filter.ValidateParameter(c.Request().Context(), input, p.Parameter); err != nil {
				if _, unreadable := errors.AsType[*openapi3filter.ParseError](err); unreadable {
					return nil, problem.Newf(problem.Malformed, "The %s parameter %s cannot be read as what it must be.", p.In, p.Name)
				}
				fields = appendFields(fields, p.In+"/"+p.Name, err)
			}
		}
	}
	if len(fields) > 0 {
		return nil, invalid(fields)
	}
	r := c.Request()
	if o.form {
		return nil, checkForm(r)
	}
	if o.body == nil {
		return nil, nil
	}
	if o.optional && r.ContentLength == 0 {
		return nil, nil
	}
	if said := r.Header.Get("Content-Type"); said != "application/json" {
		if mediaType, _, err := mime.ParseMediaType(said); err != nil || mediaType != "application/json" {
			return nil, problem.New(problem.UnsupportedMediaType, "The body must be JSON, sent with Content-Type: application/json.")
		}
		r.Header.Set("Content-Type", "application/json") // as the generated layer wants it, whatever its case was
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, bodyProblem(err)
	}
	c.Set(bodyRead, body)
	return o.validateBody(r, body)
}

// checkForm refuses what does not say that it is a form. What is in it is for the handler to see.
func checkForm(r *http.Request) error {
	mediaType, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil || mediaType != "multipart/form-data":
		return problem.New(problem.UnsupportedMediaType, "The body must be a form, sent with Content-Type: multipart/form-data.")
	case parameters["boundary"] == "":
		return problem.New(problem.Malformed, "The Content-Type does not say what the boundary of the form's parts is.")
	default:
		return nil
	}
}

// isText says whether path and query are UTF-8. A store would take other bytes for a fault of its own.
func isText(input *openapi3filter.RequestValidationInput) bool {
	if !utf8.ValidString(input.Request.URL.Path) {
		return false
	}
	if input.Request.URL.RawQuery == "" {
		return true
	}
	for name, values := range input.GetQueryParams() {
		for _, text := range append(values, name) {
			if !utf8.ValidString(text) {
				return false
			}
		}
	}
	return true
}

func pathParameters(c echo.Context) map[string]string {
	names, values := c.ParamNames(), c.ParamValues()
	parameters := make(map[string]string, len(names))
	for i := range names {
		if unescaped, err := url.PathUnescape(values[i]); err == nil {
			parameters[names[i]] = unescaped
		} else {
			parameters[names[i]] = values[i]
		}
	}
	return parameters
}

// present says whether there is something to check: absent optional parameters need not go through the schema.
func present(input *openapi3filter.RequestValidationInput, p *openapi3.Parameter) bool {
	switch p.In {
	case openapi3.ParameterInHeader:
		return input.Request.Header.Get(p.Name) != "" || p.Required
	case openapi3.ParameterInQuery:
		return input.Request.URL.RawQuery != "" && input.GetQueryParams().Has(p.Name) || p.Required
	default:
		return true
	}
}

func (o *contractOperation) validateBody(r *http.Request, body []byte) ([]byte, error) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	keyed := r.Header.Get("Idempotency-Key") != ""
	if !keyed && o.plain.suits(body) {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, problem.Newf(problem.Malformed, "The body is not JSON: %s.", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, problem.New(problem.Malformed, "The body is more than one JSON value.")
	}
	if err := o.body.VisitJSON(value, openapi3.VisitAsRequest(), openapi3.MultiErrors()); err != nil {
		return nil, invalid(appendFields(nil, "", err))
	}
	if !keyed {
		return nil, nil
	}
	return json.Marshal(value)
}

func bodyProblem(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem.Newf(problem.PayloadTooLarge, "The body is over %d bytes.", tooLarge.Limit)
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return problem.Newf(problem.RequestTimeout, "The body did not arrive within %s.", bodyPatience)
	}
	return problem.New(problem.Malformed, "The body ended too early.").Because(err)
}

func invalid(fields []problem.Field) *problem.Problem {
	p := problem.New(problem.Invalid, "The request is well-formed, but invalid; errors says where.")
	p.Fields = fields
	return p
}

// mostFields bounds how many invalid fields are reported.
const mostFields = 20

// appendFields turns what kin-openapi found into fields. where is empty for the body, whose fields have JSON pointers.
func appendFields(fields []problem.Field, where string, err error) []problem.Field {
	if several, ok := errors.AsType[openapi3.MultiError](err); ok {
		for _, e := range several {
			fields = appendFields(fields, where, e)
		}
		return fields
	}
	if len(fields) >= mostFields {
		return fields
	}
	var violation *openapi3.SchemaError
	if !errors.As(err, &violation) {
		return append(fields, problem.Field{Pointer: where, Message: "is required"})
	}
	pointer := where
	if where == "" {
		var path strings.Builder
		for _, step := range violation.JSONPointer() {
			fmt.Fprintf(&path, "/%s", strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
		}
		pointer = path.String()
	}
	return append(fields, problem.Field{Pointer: pointer, Message: violation.Reason})
}
