package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func TestAGateMayNameAllThatThereIs(t *testing.T) {
	file := parsed(t, `        gate:
          timeout: 48h
          alarms: [shop 5xx]
          checks: [ci/test]
          windows:
            time-zone: Europe/Berlin
            open: [{from: "09:00", to: "16:00"}, {days: [Sat], from: "10:00", to: "24:00"}]
            holidays: ["2026-12-24"]
          approval: {count: 2, users: [ana], teams: [example/operators], four-eyes: true, otherwise: approve}
`)
	gate := file.Pipelines[0].Stages[0].Gate
	require.Equal(t, []string{"Mon", "Tue", "Wed", "Thu", "Fri"}, gate.Windows.Open[0].Days)
	require.Equal(t, []string{"Sat"}, gate.Windows.Open[1].Days)
	require.True(t, gate.Approval.FourEyes)
	require.Equal(t, 2, gate.Approval.Count)
	require.Equal(t, delivery.OtherwiseApprove, gate.Approval.Otherwise)

	var words strings.Builder
	file.Explain(&words)
	for _, sentence := range []string{
		"first 2 people approve, of ana, example/operators, but not the author; without an answer in 72h it goes on",
		"waits until the revision's checks are green: ci/test",
		"waits until these alarms are quiet: shop 5xx",
		"starts only in its windows, Europe/Berlin time: Mon,Tue,Wed,Thu,Fri 09:00-16:00 or Sat 10:00-24:00; not on 1 holidays",
	} {
		require.Contains(t, words.String(), sentence)
	}
}

func TestHealthMayLimitWhatUsersNotice(t *testing.T) {
	file := parsed(t, `        strategy: traffic-splitting
        bake: 30m
        health:
          requests: {errors: 0.5, latency: 500ms}
          compare: {errors: 1, latency: 1.5}
          probe: {run: ./probe}
`)
	stage := file.Pipelines[0].Stages[0]
	require.InDelta(t, 0.5, *stage.Health.Requests.Errors, 0)
	require.Equal(t, "P99", stage.Health.Requests.Percentile)
	require.InDelta(t, 1.5, *stage.Health.Compare.Latency, 0)
	require.Equal(t, delivery.DefaultProbeTimeout, stage.Health.Probe.Timeout)
}

func TestAGateThatCouldNeverOpenIsRefused(t *testing.T) {
	for text, complaint := range map[string]string{
		`gate: {rest: 1h}`:                                                                 `"rest" is the time after the previous stage, and stage "staging" is the first`,
		`gate: {approval: {count: 2, users: [ana]}}`:                                       `"count" asks for 2 people, and "users" names 1`,
		`gate: {windows: {open: [{from: "16:00", to: "09:00"}]}}`:                          `"to" (09:00) is not after "from" (16:00)`,
		`gate: {windows: {time-zone: Mars/Olympus, open: [{from: "09:00", to: "16:00"}]}}`: `is no time zone`,
		`gate: {windows: {open: [{from: "9", to: "16:00"}]}}`:                              `it must be a time of the day such as 09:00`,
		`gate: {windows: {open: [{from: "09:00", to: "16:00"}], holidays: [Christmas]}}`:   `is no day; write it as 2026-12-24`,
		`gate: {approval: {four-eyes: often}}`:                                             `"four-eyes" must be true or false, not a text`,
		`health: {requests: {percentile: P99}}`:                                            `"requests" limits nothing`,
		`health: {requests: {errors: 101}}`:                                                `it must be a number from 0 to 100`,
		`health: {requests: {errors: few}}`:                                                `"errors" must be a number, not a text`,
		`health: {compare: {errors: 1}}`:                                                   `"compare" needs two versions in service at once`,
	} {
		_, err := Parse("gravity.yaml", []byte(minimal("        "+text+"\n")))
		require.ErrorContains(t, err, complaint, text)
	}
}
