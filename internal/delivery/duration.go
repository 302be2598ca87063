package delivery

import (
	"fmt"
	"time"
)

// Duration is a time.Duration that reads and writes as people do ("90s", "1h30m"), in gravity.yaml
// and in the workflow inputs that Temporal's web UI shows.
type Duration time.Duration

// Std converts to the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String is the text form, such as "30m0s".
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Negative durations are refused: no wait in
// Gravity can be one.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration; write it as 90s, 30m or 1h30m", text)
	}
	if parsed < 0 {
		return fmt.Errorf("%q is negative; a duration here is how long something may take", text)
	}
	*d = Duration(parsed)
	return nil
}
