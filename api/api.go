// Package api is the contract: types and server interface generated from openapi.yaml, and the document itself.
// It knows HTTP and nothing of what stands behind it. Only handlers import it; api/client is for programs that call guichet.
package api

import (
	_ "embed"

	"github.com/getkin/kin-openapi/openapi3"
)

//go:generate go tool oapi-codegen -config server.yaml ../openapi.yaml
//go:generate go tool oapi-codegen -config client.yaml ../openapi.yaml
//go:generate cp ../openapi.yaml openapi.gen.yaml

// Document is openapi.yaml: a copy, because Go embeds no file from above its package. (The generator could embed it too, but would
// capitalise the operations' ids and lose the order.)
//
//go:embed openapi.gen.yaml
var Document []byte

// GetSpec parses the document.
func GetSpec() (*openapi3.T, error) { return openapi3.NewLoader().LoadFromData(Document) }
