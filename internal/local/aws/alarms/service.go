package alarms

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"

	"gravity/internal/local/aws/query"
	"gravity/internal/local/aws/rpc"
	"gravity/internal/local/aws/service"
)

// Name is what CloudWatch's clients sign for.
const Name = "monitoring"

// CloudWatch is spoken to in two protocols: today's SDKs use RPC v2 in CBOR, and older ones, AWS's command
// line of version 2.9 among them, the Query protocol.
const (
	rpcService = "GraniteServiceVersion20100801"
	rpcShapes  = "com.amazonaws.cloudwatch#"
)

// Registration puts CloudWatch's alarms onto the endpoint.
func Registration() service.Registration {
	return service.Registration{Name: Name, Open: func(ground service.Ground) (service.Service, error) {
		opened, err := Open(Options{
			File: filepath.Join(ground.DataDir, "alarms.json"), Region: ground.Region, Account: ground.Account, Now: ground.Clock.Now,
		})
		if err != nil {
			return nil, err
		}
		return &Service{Alarms: opened, API: opened.api(), calls: opened.calls()}, nil
	}}
}

// Service answers CloudWatch's calls in both protocols.
type Service struct {
	*Alarms
	*query.API
	calls map[string]call
}

// call is an operation in CBOR; decode fills its input.
type call func(decode func(any) error) (any, error)

func (a *Alarms) api() *query.API {
	return &query.API{
		Service: "CloudWatch", Namespace: "http://monitoring.amazonaws.com/doc/2010-08-01/", Version: "2010-08-01",
		Operations: map[string]query.Operation{
			"DeleteAlarms":   query.Silent(query.Of(ignoringCall(a.DeleteAlarms))),
			"DescribeAlarms": query.Of(ignoringCall(a.DescribeAlarms)),
			"PutMetricAlarm": query.Silent(query.Of(ignoringCall(a.PutMetricAlarm))),
			"SetAlarmState":  query.Silent(query.Of(ignoringCall(a.SetAlarmState))),
		},
	}
}

func (a *Alarms) calls() map[string]call {
	return map[string]call{
		"DeleteAlarms":   callOf(a.DeleteAlarms),
		"DescribeAlarms": callOf(a.DescribeAlarms),
		"PutMetricAlarm": callOf(a.PutMetricAlarm),
		"SetAlarmState":  callOf(a.SetAlarmState),
	}
}

func ignoringCall[In, Out any](method func(*In) (*Out, error)) func(service.Call, *In) (*Out, error) {
	return func(_ service.Call, in *In) (*Out, error) { return method(in) }
}

func callOf[In, Out any](method func(*In) (*Out, error)) call {
	return func(decode func(any) error) (any, error) {
		var in In
		if err := decode(&in); err != nil {
			return nil, &service.Fault{Code: "MalformedInput", Message: err.Error(), Status: http.StatusBadRequest}
		}
		out, err := method(&in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

// Operation implements service.Service.
func (s *Service) Operation(r service.Request) string {
	name := rpc.Operation(r.Request, rpcService)
	if name == "" {
		return s.API.Operation(r)
	}
	if s.calls[name] == nil {
		return ""
	}
	return name
}

// Answer implements service.Service.
func (s *Service) Answer(r service.Request) service.Response {
	name := rpc.Operation(r.Request, rpcService)
	if name == "" {
		return s.API.Answer(r)
	}
	called := s.calls[name]
	if called == nil {
		return s.Refuse(r, &service.Fault{Code: "InvalidAction", Status: http.StatusBadRequest,
			Message: fmt.Sprintf("Could not find operation %.100s for version %s.", name, s.Version)})
	}
	out, err := called(func(into any) error { return rpc.Decode(r.Content, into) })
	var fault *service.Fault
	switch {
	case errors.As(err, &fault):
		return s.Refuse(r, fault)
	case err != nil:
		return s.Refuse(r, &service.Fault{Code: "InternalServiceFault", Message: err.Error(), Status: http.StatusInternalServerError})
	}
	return service.Response{Status: http.StatusOK, Type: rpc.ContentType, Header: rpc.Header(), Body: rpc.Response(out)}
}

// Refuse implements service.Service.
func (s *Service) Refuse(r service.Request, fault *service.Fault) service.Response {
	if rpc.Operation(r.Request, rpcService) == "" {
		return s.API.Refuse(r, fault)
	}
	blame := "Sender"
	if fault.Status >= http.StatusInternalServerError {
		blame = "Receiver"
	}
	header := rpc.Header()
	header.Set("X-Amzn-Query-Error", fmt.Sprintf("%s;%s", fault.Code, blame))
	return service.Response{Status: fault.Status, Type: rpc.ContentType, Header: header, Body: rpc.Error(rpcShapes+fault.Code, fault.Message)}
}

// Close implements service.Service. What has to survive is on disk already.
func (s *Service) Close() error { return nil }
