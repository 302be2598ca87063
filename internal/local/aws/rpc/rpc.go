// Package rpc speaks Smithy's RPC v2 protocol in CBOR, as CloudWatch does with today's SDKs: a map in,
// a map out, one path an operation.
//
// Like package query, it works on the input and output types of aws-sdk-go-v2, whose field names
// are the names on the wire.
package rpc

import (
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// maxDepth bounds how deep a request may be nested; AWS's own are far flatter.
const maxDepth = 8

// ContentType is that of every answer.
const ContentType = "application/cbor"

// Header is what an answer says of its protocol.
func Header() http.Header { return http.Header{"Smithy-Protocol": {"rpc-v2-cbor"}} }

// Operation tells which operation of a service a request calls; empty when it is no such request.
func Operation(r *http.Request, service string) string {
	name, found := strings.CutPrefix(r.URL.Path, "/service/"+service+"/operation/")
	if !found || r.Method != http.MethodPost || r.Header.Get("Smithy-Protocol") != "rpc-v2-cbor" {
		return ""
	}
	return name
}

// Decode fills the struct that target points to. The error names the member and what it should have been.
func Decode(body []byte, target any) error {
	if len(body) == 0 {
		return nil // an operation without input
	}
	value, err := cbor.Decode(body)
	if err != nil {
		return fmt.Errorf("the body is no CBOR: %w", err)
	}
	return decode("the body", value, reflect.ValueOf(target).Elem(), maxDepth)
}

func decode(name string, value cbor.Value, target reflect.Value, depth int) error {
	if depth == 0 {
		return fmt.Errorf("%s is nested too deep", name)
	}
	switch value.(type) {
	case *cbor.Nil, *cbor.Undefined:
		return nil
	}
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		return decode(name, value, target.Elem(), depth)
	}
	if target.Type() == reflect.TypeFor[time.Time]() {
		tag, ok := value.(*cbor.Tag)
		if !ok || tag.ID != 1 {
			return fmt.Errorf("%s must be a timestamp", name)
		}
		seconds, ok := number(tag.Value)
		if !ok {
			return fmt.Errorf("%s must be a timestamp", name)
		}
		target.Set(reflect.ValueOf(time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()))
		return nil
	}
	switch target.Kind() {
	case reflect.Struct:
		return decodeStruct(name, value, target, depth)
	case reflect.Slice:
		list, ok := value.(cbor.List)
		if !ok {
			return fmt.Errorf("%s must be a list", name)
		}
		made := reflect.MakeSlice(target.Type(), len(list), len(list))
		for i, element := range list {
			if err := decode(name, element, made.Index(i), depth-1); err != nil {
				return err
			}
		}
		target.Set(made)
		return nil
	default:
		return decodeScalar(name, value, target)
	}
}

func decodeStruct(name string, value cbor.Value, target reflect.Value, depth int) error {
	members, ok := value.(cbor.Map)
	if !ok {
		return fmt.Errorf("%s must be a map", name)
	}
	for i := range target.NumField() {
		field := target.Type().Field(i)
		member, given := members[field.Name]
		if !field.IsExported() || field.Name == "ResultMetadata" || !given {
			continue
		}
		if err := decode(field.Name, member, target.Field(i), depth-1); err != nil {
			return err
		}
	}
	return nil
}

func decodeScalar(name string, value cbor.Value, target reflect.Value) error {
	switch target.Kind() {
	case reflect.String:
		text, ok := value.(cbor.String)
		if !ok {
			return fmt.Errorf("%s must be a string", name)
		}
		target.SetString(string(text))
	case reflect.Bool:
		truth, ok := value.(cbor.Bool)
		if !ok {
			return fmt.Errorf("%s must be true or false", name)
		}
		target.SetBool(bool(truth))
	case reflect.Int32, reflect.Int64, reflect.Int:
		whole, ok := number(value)
		if !ok || whole != math.Trunc(whole) || math.Abs(whole) > 1<<53 || target.OverflowInt(int64(whole)) {
			return fmt.Errorf("%s must be a whole number", name)
		}
		target.SetInt(int64(whole))
	case reflect.Float64:
		real, ok := number(value)
		if !ok {
			return fmt.Errorf("%s must be a number", name)
		}
		target.SetFloat(real)
	default:
		return fmt.Errorf("%s is not supported", name)
	}
	return nil
}

func number(value cbor.Value) (float64, bool) {
	switch n := value.(type) {
	case cbor.Uint:
		return float64(n), true
	case cbor.NegInt:
		return -float64(n), true
	case cbor.Float32:
		return float64(n), true
	case cbor.Float64:
		return float64(n), true
	default:
		return 0, false
	}
}

// Response writes an operation's answer. A nil output makes an empty one.
func Response(output any) []byte {
	if output == nil {
		return cbor.Encode(cbor.Map{})
	}
	return cbor.Encode(encode(reflect.ValueOf(output)))
}

// Error writes an error. Its shape is named in full, as the protocol wants it.
func Error(shape, message string) []byte {
	return cbor.Encode(cbor.Map{"__type": cbor.String(shape), "message": cbor.String(message)})
}

func encode(value reflect.Value) cbor.Value {
	if at, isTime := value.Interface().(time.Time); isTime {
		return &cbor.Tag{ID: 1, Value: cbor.Float64(float64(at.UnixMilli()) / 1000)}
	}
	switch value.Kind() {
	case reflect.Pointer:
		return encode(value.Elem())
	case reflect.Struct:
		members := cbor.Map{}
		for i := range value.NumField() {
			field := value.Type().Field(i)
			if field.IsExported() && field.Name != "ResultMetadata" && !value.Field(i).IsZero() {
				members[field.Name] = encode(value.Field(i))
			}
		}
		return members
	case reflect.Slice:
		list := cbor.List{}
		for i := range value.Len() {
			list = append(list, encode(value.Index(i)))
		}
		return list
	case reflect.String:
		return cbor.String(value.String())
	case reflect.Bool:
		return cbor.Bool(value.Bool())
	case reflect.Int, reflect.Int32, reflect.Int64:
		if whole := value.Int(); whole < 0 {
			return cbor.NegInt(uint64(-whole))
		}
		return cbor.Uint(uint64(value.Int()))
	case reflect.Float64:
		return cbor.Float64(value.Float())
	default:
		return &cbor.Nil{}
	}
}
