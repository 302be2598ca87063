package aws_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// The test binary is also the application that instances run: a Procfile starts it again with
// this variable set to the way it is to behave.
const behaviourVariable = "STAND_IN_TEST_APPLICATION"

func TestMain(m *testing.M) {
	if folder := os.Getenv(serverVariable); folder != "" {
		runServer(folder)
		return
	}
	if behaviour := os.Getenv(behaviourVariable); behaviour != "" {
		runApplication(behaviour)
		return
	}
	os.Exit(m.Run())
}

// runApplication serves as an application under test.
func runApplication(behaviour string) {
	name, label, _ := strings.Cut(behaviour, ":")
	switch name {
	case "exits":
		fmt.Println("this application ends at once")
		os.Exit(1)
	case "deaf":
		time.Sleep(time.Hour)
	}
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if name == "unhealthy" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		pause, _ := time.ParseDuration(r.URL.Query().Get("for"))
		time.Sleep(pause)
		_, _ = io.WriteString(w, label)
	})
	http.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	http.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	http.HandleFunc("/property", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, os.Getenv(r.URL.Query().Get("name")))
	})
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, label) })
	fmt.Println(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
	os.Exit(2)
}
