package objects

import (
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// lifecycleFile holds a bucket's lifecycle as it was sent.
const lifecycleFile = "lifecycle.xml"

// maxLifecycle bounds one, in bytes: S3 takes a thousand rules.
const maxLifecycle = 1 << 20

// lifecycle is the part of a bucket's lifecycle that the stand-in carries out.
type lifecycle struct {
	Rules []struct {
		Status string `xml:"Status"`
		Prefix string `xml:"Filter>Prefix"`
		Days   int    `xml:"Expiration>Days"`
	} `xml:"Rule"`
}

// withLifecycle answers what concerns a bucket's lifecycle, which gofakes3 does not know.
func (s *Store) withLifecycle(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.Trim(r.URL.Path, "/")
		if !r.URL.Query().Has("lifecycle") || strings.Contains(name, "/") {
			next.ServeHTTP(w, r)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.buckets[name] == nil {
			refuse(w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
			return
		}
		path := filepath.Join(s.root, name, lifecycleFile)
		switch r.Method {
		case http.MethodGet:
			content, err := os.ReadFile(path)
			if err != nil {
				refuse(w, http.StatusNotFound, "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
				return
			}
			w.Header().Set("Content-Type", "application/xml")
			_, _ = w.Write(content)
		case http.MethodPut:
			content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLifecycle))
			var parsed lifecycle
			if err != nil || xml.Unmarshal(content, &parsed) != nil || len(parsed.Rules) == 0 {
				refuse(w, http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed")
				return
			}
			if err := os.WriteFile(path, content, 0o644); err != nil {
				refuse(w, http.StatusInternalServerError, "InternalError", err.Error())
				return
			}
			s.expireLocked(name)
		case http.MethodDelete:
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				refuse(w, http.StatusInternalServerError, "InternalError", err.Error())
				return
			}
			w.WriteHeader(http.StatusNoContent)
		default:
			refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed")
		}
	})
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
		Message string   `xml:"Message"`
	}{Code: code, Message: message})
}

// expireLocked removes the objects of a bucket that its lifecycle ends. It looks when the store is
// opened and when the rules change, which is about as often as S3's once a day.
func (s *Store) expireLocked(name string) {
	content, err := os.ReadFile(filepath.Join(s.root, name, lifecycleFile))
	var rules lifecycle
	if err != nil || xml.Unmarshal(content, &rules) != nil {
		return
	}
	for key, found := range s.buckets[name].objects {
		for _, rule := range rules.Rules {
			if rule.Status == "Enabled" && rule.Days > 0 && strings.HasPrefix(key, rule.Prefix) &&
				s.now().Sub(found.Modified) > time.Duration(rule.Days)*24*time.Hour {
				_ = s.deleteLocked(name, key)
				break
			}
		}
	}
}
