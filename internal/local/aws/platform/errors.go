package platform

import (
	"fmt"
	"net/http"

	"gravity/internal/local/aws/service"
)

// Fault is an error as AWS answers it.
type Fault = service.Fault

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
