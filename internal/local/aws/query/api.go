package query

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"gravity/internal/local/aws/service"
)

// API is one version of a service's API. With a Close method beside it, it is a service.Service.
type API struct {
	Service    string // as its errors name it
	Namespace  string // of its XML
	Version    string
	Operations map[string]Operation
	// Limits are what parameters are allowed to be, by name, or by "Operation.Name" where that
	// differs from the rest.
	Limits map[string]Limit
}

// Operation is one entry of an API: what it requires, and what carries it out.
type Operation struct {
	required []string
	silent   bool // its answer has no result element
	run      func(service.Call, *Parameters) (any, error)
}

// Of makes an operation of a method. The input and output types are those of the AWS SDK, so their
// fields need no list here. Required are parameters, or paths of them: see Given.
func Of[In, Out any](method func(service.Call, *In) (*Out, error), required ...string) Operation {
	return Operation{required: required, run: func(call service.Call, parameters *Parameters) (any, error) {
		var in In
		if err := parameters.Decode(&in); err != nil {
			return nil, refusal("MalformedInput", "%v", err)
		}
		out, err := method(call, &in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}}
}

// Silent marks an operation whose answer has no result element.
func Silent(o Operation) Operation {
	o.silent = true
	return o
}

// Operation names the operation that a request asks for, if there is one.
func (a *API) Operation(r service.Request) string {
	form, err := parameters(r)
	if err != nil {
		return ""
	}
	if _, known := a.Operations[form.Get("Action")]; !known {
		return ""
	}
	return form.Get("Action")
}

// Answer carries a request out.
func (a *API) Answer(r service.Request) service.Response {
	body, err := a.answer(r)
	if err != nil {
		return a.Refuse(r, asFault(err))
	}
	return service.Response{Status: http.StatusOK, Type: contentType, Body: body}
}

// Refuse is the protocol's error envelope.
func (a *API) Refuse(r service.Request, fault *service.Fault) service.Response {
	return service.Response{Status: fault.Status, Type: contentType, Body: a.failure(r.ID, fault)}
}

const contentType = "text/xml"

// parameters are those of the form that is the request's body, and those of the address.
func parameters(r service.Request) (url.Values, error) {
	form, err := url.ParseQuery(string(r.Content))
	if err != nil {
		return nil, refusal("MalformedQueryString", "The request is not a valid form.")
	}
	for name, values := range r.URL.Query() {
		form[name] = values
	}
	return form, nil
}

func (a *API) answer(r service.Request) ([]byte, error) {
	form, err := parameters(r)
	if err != nil {
		return nil, err
	}
	name := form.Get("Action")
	op, known := a.Operations[name]
	if name == "" {
		return nil, refusal("MissingAction", "The request must contain the parameter Action.")
	}
	if !known {
		return nil, refusal("InvalidAction", "Could not find operation %.100s for version %s.", name, a.Version)
	}
	if version := form.Get("Version"); version != a.Version {
		return nil, refusal("NoSuchVersion", "The requested version (%.100s) of service %s does not exist.", version, a.Service)
	}
	tree, err := Parse(form)
	if err != nil {
		return nil, refusal("MalformedQueryString", "%v", err)
	}
	if fault := a.check(name, op, tree); fault != nil {
		return nil, fault
	}
	out, err := op.run(service.Call{RequestID: r.ID}, tree)
	if err != nil {
		return nil, err
	}
	if op.silent {
		out = nil
	}
	return a.success(name, r.ID, out), nil
}

func refusal(code, format string, arguments ...any) *service.Fault {
	return &service.Fault{Code: code, Message: fmt.Sprintf(format, arguments...), Status: http.StatusBadRequest}
}

func asFault(err error) *service.Fault {
	var fault *service.Fault
	if errors.As(err, &fault) {
		return fault
	}
	return &service.Fault{Code: "InternalFailure", Message: err.Error(), Status: http.StatusInternalServerError}
}
