// Package proof holds the tests of Gravity's central promise: whatever happens and whenever it happens,
// an environment ends on a version that was proven healthy there, or everyone is told that it could not
// be done.
//
// matrix_test.go multiplies strategies, failures (failures_test.go, bakes_test.go) and moments. Its cases
// run the real workflows, the real steps and the real stand-in inside a synctest bubble, at AWS's own pace
// and with Gravity's own: time is a step from one event to the next there, so that an hour takes a moment
// and a busy machine changes nothing. crash_test.go kills real processes around a real Temporal server.
package proof
