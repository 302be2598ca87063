package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/converter"

	"gravity/worker/connection"
)

// codecFlags say where the codec server listens, and whom it answers.
type codecFlags struct {
	listen string
	origin string
}

func newCodec(g *globals) *cobra.Command {
	var flags codecFlags
	command := &cobra.Command{
		Use:   "codec --origin URL",
		Short: "Decrypt for Temporal's web UI and command line what workflows stored encrypted",
		Long: `Decrypt for Temporal's web UI and command line what workflows stored encrypted. The web UI asks it from the reader's
browser, so that neither Temporal nor its web UI ever sees a key. It answers whoever can reach it: it listens on this
machine alone unless told otherwise, and then belongs behind something that knows who asks.

Set its address as the codec endpoint in the web UI's settings, or give it to Temporal's own command line with
--codec-endpoint.`,
		Example: `  starter codec --encryption-keys-file /run/secrets/keys --origin http://127.0.0.1:8233
  temporal workflow show --workflow-id run/site/4f2a… --codec-endpoint http://127.0.0.1:8081`,
		Args: exactly(),
		RunE: func(command *cobra.Command, _ []string) error { return g.codec(command.Context(), flags) },
	}
	command.Flags().StringVar(&flags.listen, "listen", "127.0.0.1:8081", "address to listen on")
	command.Flags().StringVar(&flags.origin, "origin", "", "address of the web UI whose pages may ask, such as https://temporal.example.com")
	return command
}

func (g *globals) codec(ctx context.Context, flags codecFlags) error {
	if g.encryptionKeys == "" {
		return wrongUse("--encryption-keys-file is missing: it is what the codec decrypts with")
	}
	origin, err := url.Parse(flags.origin)
	if err != nil || origin.Host == "" || (origin.Scheme != "http" && origin.Scheme != "https") || origin.Path != "" {
		return wrongUse("--origin is %q: it is the web UI's address, like https://temporal.example.com", flags.origin)
	}
	encryption, err := connection.LoadEncryption(g.encryptionKeys)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", flags.listen)
	if err != nil {
		return wrongUse("cannot listen: %w; choose another address with --listen", err)
	}
	log := slog.New(slog.NewJSONHandler(g.stderr, nil))
	log.Info("decrypting", "address", listener.Addr().String(), "origin", flags.origin)
	return serveCodec(ctx, listener, encryption, flags.origin)
}

// maxCodecBody bounds one question: Temporal's own limit for a page of history, with room for base64.
const maxCodecBody = 16 << 20

func serveCodec(ctx context.Context, listener net.Listener, encryption *connection.Encryption, origin string) error {
	server := &http.Server{
		Handler:           fromOrigin(origin, http.MaxBytesHandler(converter.NewPayloadCodecHTTPHandler(encryption), maxCodecBody)),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(ending)
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// fromOrigin answers the web UI's pages, and programs, which send no origin. A page of anybody else's in the reader's
// browser gets nothing: the browser would carry the question, and its answer, past every wall. And it
// only decrypts: what could encrypt could forge.
func fromOrigin(origin string, decode http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Origin")
		switch asking := r.Header.Get("Origin"); asking {
		case "":
		case origin:
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Headers", "Content-Type, X-Namespace, Authorization")
			w.Header().Set("Access-Control-Allow-Methods", "POST")
		default:
			http.Error(w, "this page may not ask; start the codec with --origin "+asking, http.StatusForbidden)
			return
		}
		switch {
		case r.Method == http.MethodOptions:
			w.WriteHeader(http.StatusNoContent)
		case r.URL.Path != "/decode":
			http.Error(w, "there is /decode alone", http.StatusNotFound)
		default:
			decode.ServeHTTP(w, r)
		}
	})
}
