// Package api is the contract: types and server interface generated from openapi.yaml, and the document itself.
// It knows HTTP and nothing of what stands behind it. Only handlers import it; api/client is for programs that call guichet.
package api

//go:generate go tool oapi-codegen -config server.yaml ../openapi.yaml
//go:generate go tool oapi-codegen -config spec.yaml ../openapi.yaml
//go:generate go tool oapi-codegen -config client.yaml ../openapi.yaml
