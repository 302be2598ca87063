package aws

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"

	"gravity/internal/local/aws/faults"
	"gravity/internal/local/aws/platform"
)

// adminPath is where the stand-in itself is spoken to. No bucket can have that name.
const adminPath = "/_stand-in/"

// admin answers what AWS does not have:
//
//	GET  /_stand-in/faults         what goes wrong at present
//	PUT  /_stand-in/faults         what is to go wrong from now on (the JSON of Faults)
//	GET  /_stand-in/calls          how many calls were received, by operation
//	POST /_stand-in/manual-change  somebody deploys by hand: {"environment": …, "version": …}
//
// It takes no credentials, and so listens where the stand-in does: on this machine. A browser
// cannot be led to use it from another page, because it takes JSON alone.
func (s *Server) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+adminPath+"faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.faults.Get()) })
	mux.HandleFunc("PUT "+adminPath+"faults", func(w http.ResponseWriter, r *http.Request) {
		var wanted Faults
		if err := decode(r, &wanted); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := s.SetFaults(wanted); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply(w, wanted)
	})
	mux.HandleFunc("GET "+adminPath+"calls", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Calls()) })
	mux.HandleFunc("POST "+adminPath+"manual-change", func(w http.ResponseWriter, r *http.Request) {
		var change struct{ Environment, Version string }
		err := decode(r, &change)
		if err == nil {
			err = s.ManualChange(change.Environment, change.Version)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

func decode(r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return errors.New("the body has to be application/json")
	}
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxCall))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the client has gone when this fails
}

// SetFaults changes what goes wrong from now on.
func (s *Server) SetFaults(f Faults) error {
	if err := f.Check(); err != nil {
		return err
	}
	s.faults.Set(f)
	return nil
}

// ManualChange deploys a version as somebody would who does so by hand, behind the back of every
// client: by no call that Calls counts.
func (s *Server) ManualChange(environment, version string) error {
	_, err := s.platform.UpdateEnvironment(platform.Call{RequestID: s.platform.NewRequestID()},
		&eb.UpdateEnvironmentInput{EnvironmentName: aws.String(environment), VersionLabel: aws.String(version)})
	return err
}

// Faults are what a stand-in is told to do wrong.
type Faults = faults.Faults
