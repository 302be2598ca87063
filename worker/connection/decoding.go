package connection

import (
	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

// Decoding is a client that also says how to read what it and its workers stored, which may be encrypted.
// Most of that the client itself decodes; lists and descriptions come as they are stored.
type Decoding struct {
	client.Client
	Data converter.DataConverter
}

// DataOf is how to read what is stored in a client's namespace.
func DataOf(c client.Client) converter.DataConverter {
	if d, ok := c.(Decoding); ok && d.Data != nil {
		return d.Data
	}
	return converter.GetDefaultDataConverter()
}

// Text decodes a payload that holds a string; what holds none, or cannot be decrypted here, is "".
func Text(data converter.DataConverter, payload *common.Payload) string {
	var value string
	if payload == nil || data.FromPayload(payload, &value) != nil {
		return ""
	}
	return value
}
