package source

import (
	"context"
	"errors"
	"strings"

	"gravity/internal/delivery"
)

// Git tells its failures apart in words only. They are matched here and nowhere else, in the
// language that git.environment asks for.
var (
	missingRef   = []string{"couldn't find remote ref"}
	denied       = []string{"Authentication failed", "could not read Username", "could not read Password", "error: 401", "error: 403", "HTTP 401", "HTTP 403", "Permission denied (", "Host key verification failed", "terminal prompts disabled", "access denied", "not granted"}
	notThere     = []string{"not found", "does not appear to be a git repository", "does not exist", "error: 404", "no matching remote"}
	redirected   = []string{"unable to update url base from redirection", "error: 301", "error: 302", "error: 307", "error: 308"}
	tooMany      = []string{"error: 429", "HTTP 429"}
	network      = []string{"Could not resolve host", "Couldn't connect", "Failed to connect", "Connection refused", "Connection reset", "Connection timed out", "Operation timed out", "Operation too slow", "timed out", "early EOF", "unexpected disconnect", "The remote end hung up", "RPC failed", "error: 5", "Empty reply", "Temporary failure", "No route to host", "Network is unreachable", "kex_exchange_identification", "Connection closed by", "SSL_ERROR", "gnutls", "TLS connect error", "transfer closed"}
	certificates = []string{"certificate", "SSL certificate problem"}
	hostile      = []string{"fsck error", "invalid path", "is a symlink", "disallowed path", "refusing to", "malformed"}
	diskFull     = []string{"No space left on device", "Disk quota exceeded"}
	tooLarge     = []string{"File too large"}
)

func says(err error, phrases []string) bool {
	var failed *gitError
	if !errors.As(err, &failed) {
		return false
	}
	for _, phrase := range phrases {
		if strings.Contains(failed.stderr, phrase) {
			return true
		}
	}
	return false
}

// remoteError explains a failed exchange with a repository's host. Errors that are the mirror's
// own fault are left without a type.
func remoteError(r repository, err error) error {
	switch {
	case err == nil || delivery.TypeOf(err) != "":
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return delivery.Errorf(delivery.Unavailable, "fetch %s: took too long: %w", r.address, err)
	case errors.Is(err, context.Canceled):
		return err
	case says(err, hostile):
		return delivery.Errorf(delivery.InvalidInput, "fetch %s: the repository holds what git refuses to take: %w", r.address, err)
	case says(err, tooLarge):
		return delivery.Errorf(delivery.InvalidInput, "fetch %s: the repository is larger than all mirrors together may be: give the worker's cache more room: %w", r.address, err)
	case says(err, diskFull):
		return delivery.Errorf(delivery.Unavailable, "fetch %s: the worker's disk is full: %w", r.address, err)
	case says(err, denied):
		return accessDenied(r, err)
	case says(err, tooMany):
		return delivery.Errorf(delivery.Throttled, "fetch %s: the host asks for fewer calls: %w", r.address, err)
	case says(err, redirected):
		return delivery.Errorf(delivery.InvalidInput, "fetch %s: the repository has moved, and a token is never sent to another address: configure the new one: %w", r.address, err)
	case says(err, network), says(err, certificates):
		return delivery.Errorf(delivery.Unavailable, "fetch %s: %w", r.address, err)
	case says(err, notThere):
		return delivery.Errorf(delivery.InvalidInput, "fetch %s: there is no such repository, or it may not be read: check the address, and what the worker's token may read: %w", r.address, err)
	default:
		return err
	}
}

func accessDenied(r repository, err error) error {
	return delivery.Errorf(delivery.AccessDenied, "fetch %s: not allowed: give the worker a token, or a key and the host's known key, that may read it: %w", r.address, err)
}

// localError explains a failed step on the worker's own disk that repairing the mirror does not mend.
func localError(doing string, err error) error {
	switch {
	case err == nil || delivery.TypeOf(err) != "" || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case says(err, diskFull):
		return delivery.Errorf(delivery.Unavailable, "%s: the worker's disk is full: %w", doing, err)
	case says(err, hostile):
		return delivery.Errorf(delivery.InvalidInput, "%s: the repository holds a path that git refuses to write: %w", doing, err)
	default:
		return err
	}
}
