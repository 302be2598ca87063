package platform

import (
	"fmt"
	"net/http"
)

// Fault is an error as AWS answers it.
type Fault struct {
	Code    string
	Message string
	Status  int // of HTTP; from 500 on it is the service's fault, not the caller's
}

func (f *Fault) Error() string { return f.Code + ": " + f.Message }

// invalid is the answer to a parameter that names nothing, or comes at the wrong moment.
func invalid(format string, args ...any) *Fault {
	return &Fault{Code: "InvalidParameterValue", Message: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
}

// fault is any other of the caller's faults.
func fault(code, format string, args ...any) *Fault {
	return &Fault{Code: code, Message: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
}

// internal is a fault of ours: the disk, mostly.
func internal(err error) *Fault {
	return &Fault{Code: "InternalFailure", Message: err.Error(), Status: http.StatusInternalServerError}
}
