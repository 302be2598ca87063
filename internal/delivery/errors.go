package delivery

import (
	"errors"
	"fmt"
	"time"
)

// ErrorType names a kind of failure that someone decides by. It becomes the type of Temporal's
// application errors, so it is stored in histories and never renamed.
type ErrorType string

// The kinds of failure. Retryable says which of them are worth another attempt.
const (
	// InvalidInput: the caller asked for something that cannot be; the same input fails again.
	InvalidInput ErrorType = "InvalidInput"
	// RevisionNotFound: the repository has no such commit.
	RevisionNotFound ErrorType = "RevisionNotFound"
	// BuildFailed: the project's build command failed or timed out.
	BuildFailed ErrorType = "BuildFailed"
	// TestsFailed: the project's test command failed or timed out.
	TestsFailed ErrorType = "TestsFailed"
	// BundleRejected: the tree cannot become a bundle that Beanstalk takes; the message names the file.
	BundleRejected ErrorType = "BundleRejected"
	// WorkspaceLost: the build host no longer has the workspace; the build starts again elsewhere.
	WorkspaceLost ErrorType = "WorkspaceLost"
	// VersionConflict: the label exists already and stands for other bytes.
	VersionConflict ErrorType = "VersionConflict"
	// VersionNotFound: no application version has that label (any more).
	VersionNotFound ErrorType = "VersionNotFound"
	// EnvironmentNotFound: no such environment, or it was terminated.
	EnvironmentNotFound ErrorType = "EnvironmentNotFound"
	// EnvironmentBusy: somebody else's update holds the environment; wait and look again.
	EnvironmentBusy ErrorType = "EnvironmentBusy"
	// EnvironmentFrozen: nothing is deployed there until it is thawed.
	EnvironmentFrozen ErrorType = "EnvironmentFrozen"
	// Drift: the environment is not on the version that was last deployed there.
	Drift ErrorType = "Drift"
	// UpdateFailed: Beanstalk did not bring the environment to the wanted version.
	UpdateFailed ErrorType = "UpdateFailed"
	// Unhealthy: the environment did not prove healthy on the wanted version.
	Unhealthy ErrorType = "Unhealthy"
	// DeadlineExceeded: the stage's deadline passed before the proof.
	DeadlineExceeded ErrorType = "DeadlineExceeded"
	// CheckFailed: the stage's own HTTP check did not pass.
	CheckFailed ErrorType = "CheckFailed"
	// Rejected: a person said no at a gate, or nobody answered in time.
	Rejected ErrorType = "Rejected"
	// Aborted: a person ended the run.
	Aborted ErrorType = "Aborted"
	// Superseded: a newer request took this one's place.
	Superseded ErrorType = "Superseded"
	// RolledBack: the deployment failed, and the environment is proven healthy on its last good version.
	RolledBack ErrorType = "RolledBack"
	// NeedsAttention: the environment could not be proven healthy on any version; it is frozen.
	NeedsAttention ErrorType = "NeedsAttention"
	// AccessDenied: credentials are missing, expired or not allowed to do this.
	AccessDenied ErrorType = "AccessDenied"
	// Throttled: the other side asks for fewer calls.
	Throttled ErrorType = "Throttled"
	// Unavailable: the network, or the other side's fault; it passes.
	Unavailable ErrorType = "Unavailable"
)

// Retryable reports whether the same step can succeed later without anyone's doing.
// AccessDenied is among them: credentials expire and are renewed while a step waits, and its
// step's deadline bounds the attempts.
func (t ErrorType) Retryable() bool {
	switch t {
	case EnvironmentBusy, AccessDenied, Throttled, Unavailable:
		return true
	default:
		return false
	}
}

// Error is a failure with a type that someone decides by. Its message says what failed, on what,
// and where possible what to do next.
type Error struct {
	Type    ErrorType
	Message string
	// Err is the cause, if there is one.
	Err error
	// Final is set where the time for further attempts is over, though the type is retryable.
	Final bool
	// RetryAfter is when the other side wants to be asked again; zero when it did not say.
	RetryAfter time.Duration
}

// Errorf makes an Error. A %w in the format becomes its cause.
func Errorf(kind ErrorType, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Type: kind, Message: wrapped.Error(), Err: errors.Unwrap(wrapped)}
}

// GaveUp makes an Error that is not retried, whatever its type: the waiting is over.
func GaveUp(kind ErrorType, format string, args ...any) *Error {
	final := Errorf(kind, format, args...)
	final.Final = true
	return final
}

// Retryable reports whether the same step can succeed later.
func (e *Error) Retryable() bool { return !e.Final && e.Type.Retryable() }

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// TypeOf finds the type of an error, or "" when nothing in its chain has one.
func TypeOf(err error) ErrorType {
	var typed *Error
	if errors.As(err, &typed) {
		return typed.Type
	}
	return ""
}
