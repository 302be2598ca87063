package query

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"gravity/internal/local/aws/service"
)

// success writes an operation's answer. A nil output makes one without a result element, as
// operations have that return nothing.
func (a *API) success(action, requestID string, output any) []byte {
	var out bytes.Buffer
	out.WriteString(`<` + action + `Response xmlns="` + a.Namespace + `">`)
	if output != nil {
		out.WriteString(`<` + action + `Result>`)
		encodeStruct(&out, reflect.Indirect(reflect.ValueOf(output)))
		out.WriteString(`</` + action + `Result>`)
	}
	out.WriteString(`<ResponseMetadata>`)
	element(&out, "RequestId", requestID)
	out.WriteString(`</ResponseMetadata></` + action + `Response>`)
	return out.Bytes()
}

// failure writes AWS's error envelope, which tells whose fault it was: the caller's, or ours.
func (a *API) failure(requestID string, fault *service.Fault) []byte {
	var out bytes.Buffer
	kind := "Receiver"
	if fault.Status < http.StatusInternalServerError {
		kind = "Sender"
	}
	out.WriteString(`<ErrorResponse xmlns="` + a.Namespace + `"><Error>`)
	element(&out, "Type", kind)
	element(&out, "Code", fault.Code)
	element(&out, "Message", fault.Message)
	out.WriteString(`</Error>`)
	element(&out, "RequestId", requestID)
	out.WriteString(`</ErrorResponse>`)
	return out.Bytes()
}

func element(out *bytes.Buffer, name, text string) {
	out.WriteString("<" + name + ">")
	// EscapeText replaces what XML cannot hold; writing to a buffer never fails.
	_ = xml.EscapeText(out, []byte(text))
	out.WriteString("</" + name + ">")
}

func encodeStruct(out *bytes.Buffer, value reflect.Value) {
	for i := range value.NumField() {
		field := value.Type().Field(i)
		if !field.IsExported() || field.Name == "ResultMetadata" {
			continue
		}
		encodeField(out, field.Name, value.Field(i))
	}
}

func encodeField(out *bytes.Buffer, name string, value reflect.Value) {
	switch value.Kind() {
	case reflect.Pointer:
		if !value.IsNil() {
			encodeField(out, name, value.Elem())
		}
	case reflect.Slice:
		if value.IsNil() {
			return
		}
		out.WriteString("<" + name + ">")
		for i := range value.Len() {
			encodeField(out, "member", value.Index(i))
		}
		out.WriteString("</" + name + ">")
	case reflect.Struct:
		if at, isTime := value.Interface().(time.Time); isTime {
			element(out, name, at.UTC().Format("2006-01-02T15:04:05.000Z"))
			return
		}
		out.WriteString("<" + name + ">")
		encodeStruct(out, value)
		out.WriteString("</" + name + ">")
	case reflect.String:
		// An enumeration that is not set has no element; a string that is set comes as a pointer.
		if value.String() != "" || name == "member" || value.Type() == reflect.TypeFor[string]() {
			element(out, name, value.String())
		}
	case reflect.Bool:
		element(out, name, strconv.FormatBool(value.Bool()))
	case reflect.Int, reflect.Int32, reflect.Int64:
		element(out, name, strconv.FormatInt(value.Int(), 10))
	case reflect.Float64:
		element(out, name, strconv.FormatFloat(value.Float(), 'f', -1, 64))
	default:
		// The SDK's types hold nothing else.
	}
}
