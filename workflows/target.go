package workflows

import (
	"slices"
	"strings"

	"gravity/internal/delivery"
)

// RollbackPrefix marks the requests of people for an earlier version: what they left behind is no way back any more.
const RollbackPrefix = "rollback/"

// RollbackTarget finds the version to go back to when nobody names one: the last good version, when the
// environment is not on it; or else the one before. A version that somebody rolled back from is no
// way back: rolling back twice goes back two versions, not forth again; and neither is one that exists no more.
func RollbackTarget(status EnvironmentStatus, exists func(label string) bool) (delivery.Version, error) {
	if status.Good != nil && status.Good.Label != status.LeftOn && exists(status.Good.Label) {
		return *status.Good, nil
	}
	var good []delivery.Version // as they were deployed, without those that were left by a rollback
	for _, record := range status.Recent {
		if record.Result.Outcome != delivery.OutcomeDeployed {
			continue
		}
		label := record.Version.Label
		i := slices.IndexFunc(good, func(version delivery.Version) bool { return version.Label == label })
		if i >= 0 && strings.HasPrefix(record.Result.RequestID, RollbackPrefix) {
			good = good[:i]
		} else if i >= 0 {
			good = slices.Delete(good, i, i+1)
		}
		good = append(good, record.Version)
	}
	for _, version := range slices.Backward(good) {
		if version.Label != status.LeftOn && exists(version.Label) {
			return version, nil
		}
	}
	return delivery.Version{}, delivery.Errorf(delivery.InvalidInput, "no earlier good version of %s is on record; name one with --to", status.Environment)
}
