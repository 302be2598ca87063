package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// headers are what every answer of a static site can promise: nothing but the page's own styles is loaded, nobody
// frames it, nothing is guessed, and no page that is opened learns where the visitor came from.
var headers = map[string]string{
	"Content-Security-Policy":      "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=()",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
}

// onlyEncrypted has browsers come by https alone for a year, once they came by it.
const onlyEncrypted = "max-age=31536000; includeSubDomains"

// secured sets the headers. Behind a balancer that ends TLS, encrypted sends visitors who came by http there; the
// balancer's own question for /health, which names no scheme, is answered.
func secured(encrypted bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		scheme := r.Header.Get("X-Forwarded-Proto")
		if encrypted && scheme == "http" && r.URL.Path != "/health" {
			target := *r.URL
			target.Scheme, target.Host = "https", hostOf(r)
			http.Redirect(w, r, target.String(), http.StatusPermanentRedirect)
			return
		}
		if encrypted && scheme == "https" {
			w.Header().Set("Strict-Transport-Security", onlyEncrypted)
		}
		next.ServeHTTP(w, r)
	})
}

// hostOf is the visitor's own name for the site, without a port: https has another one.
func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}

// maxLogged bounds what a visitor can write into a log line with one field, in bytes.
const maxLogged = 200

// logged writes a line for every request. The balancer's questions for /health are of interest only while they fail.
func logged(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		answer := &counted{ResponseWriter: w, code: http.StatusOK}
		defer func() {
			level := slog.LevelInfo
			switch {
			case answer.code >= http.StatusInternalServerError:
				level = slog.LevelError
			case r.URL.Path == "/health":
				level = slog.LevelDebug
			}
			log.LogAttrs(context.WithoutCancel(r.Context()), level, "request",
				slog.String("method", clip(r.Method)), slog.String("path", clip(r.URL.Path)), slog.Int("status", answer.code),
				slog.Int64("bytes", answer.bytes), slog.Duration("took", time.Since(began)),
				slog.String("visitor", clip(visitor(r))), slog.String("agent", clip(r.UserAgent())),
				slog.String("trace", clip(r.Header.Get("X-Amzn-Trace-Id"))))
		}()
		next.ServeHTTP(answer, r)
	})
}

// visitor is the address that the balancer saw. What stands before it in the header, the visitor may have made up.
func visitor(r *http.Request) string {
	forwarded := strings.Split(r.Header.Get("X-Forwarded-For"), ",")
	if last := strings.TrimSpace(forwarded[len(forwarded)-1]); last != "" {
		return last
	}
	return r.RemoteAddr
}

func clip(text string) string {
	if len(text) > maxLogged {
		text = text[:maxLogged]
	}
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return text
}

// counted remembers what was answered.
type counted struct {
	http.ResponseWriter
	code  int
	bytes int64
}

func (c *counted) WriteHeader(code int) {
	c.code = code
	c.ResponseWriter.WriteHeader(code)
}

func (c *counted) Write(content []byte) (int, error) {
	n, err := c.ResponseWriter.Write(content)
	c.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach what is behind.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }
