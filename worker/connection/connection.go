// Package connection reaches Temporal the way every Temporal tool does: profiles of temporal.toml,
// TEMPORAL_ADDRESS and the other environment variables, TLS and API keys. The worker and the command
// line share it, so that both find the same server with the same settings, and say the same when
// they don't.
package connection

import (
	"context"
	"errors"
	"log/slog"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gravity/internal/delivery"
	"gravity/worker/tracing"
)

// Settings override what the profile and the environment say. All of them are optional.
type Settings struct {
	// Profile of temporal.toml. Default: TEMPORAL_PROFILE, or else "default".
	Profile string
	// Address is host:port of the frontend.
	Address string
	// Namespace to work in.
	Namespace string
	// Identity is what Temporal's histories call this client.
	Identity string
	// EncryptionKeysFile switches encryption on; see LoadEncryption.
	EncryptionKeysFile string
	// Traces are what the client, and the workers that are made of it, tell of themselves. Default: nothing.
	Traces *tracing.Traces
	// Log gets what the SDK says. Default: nothing.
	Log *slog.Logger
}

// Options reads the settings; nothing is connected yet. The address and the namespace are filled in.
func (s Settings) Options() (client.Options, error) {
	options, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{ConfigFileProfile: s.Profile})
	if err != nil {
		return client.Options{}, delivery.Errorf(delivery.InvalidInput,
			"the connection settings for Temporal are wrong: %w; look at temporal.toml and the TEMPORAL_ variables", err)
	}
	override(&options.HostPort, s.Address, client.DefaultHostPort)
	override(&options.Namespace, s.Namespace, client.DefaultNamespace)
	options.Identity = s.Identity
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	options.Logger = log.NewStructuredLogger(s.Log)
	if s.EncryptionKeysFile != "" {
		encryption, err := LoadEncryption(s.EncryptionKeysFile)
		if err != nil {
			return client.Options{}, err
		}
		encryption.encrypt(&options)
	}
	if s.Traces != nil {
		s.Traces.Trace(&options)
	}
	return options, nil
}

func override(value *string, wanted, fallback string) {
	if wanted != "" {
		*value = wanted
	}
	if *value == "" {
		*value = fallback
	}
}

// Dial connects. Its errors are of type Unavailable or AccessDenied and name the address.
func Dial(ctx context.Context, options client.Options) (client.Client, error) {
	connected, err := client.DialContext(ctx, options)
	denied := Denied(err, "connecting", options.HostPort)
	switch {
	case err == nil:
		return connected, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, ctx.Err()
	case denied != nil:
		return nil, denied
	default:
		return nil, delivery.Errorf(delivery.Unavailable,
			"no Temporal server at %s: start one with `go run ./starter up`, or set TEMPORAL_ADDRESS or a profile of temporal.toml; one that asks for certificates wants TEMPORAL_TLS_CLIENT_CERT_PATH and _KEY_PATH too (%w)", options.HostPort, err)
	}
}

// Denied is the error, of type AccessDenied, for what Temporal does not let its client do; nil when err is about something
// else. The address may be empty. Temporal says the same whatever the reason, so that a stranger learns nothing; its
// client does better to know them all. Whoever has no key is connected nevertheless, and refused what is asked next
// (https://docs.temporal.io/self-hosted-guide/security).
func Denied(err error, doing, address string) error {
	var denied *serviceerror.PermissionDenied
	if !errors.As(err, &denied) && status.Code(err) != codes.Unauthenticated {
		return nil
	}
	if address != "" {
		address = " at " + address
	}
	return delivery.Errorf(delivery.AccessDenied, "%s: Temporal%s does not allow it: look at TEMPORAL_API_KEY, or at the profile in temporal.toml; "+
		"the key is missing, expired, not of this server or not for this namespace, or may read there but not write (%w)", doing, address, err)
}
