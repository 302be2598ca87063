// Package alarms is the stand-in's CloudWatch, as far as alarms go. There are no metrics: an alarm is in
// the state into which SetAlarmState, or whoever runs the stand-in, has put it last.
package alarms

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"gravity/internal/local/aws/service"
)

// Options say where the alarms are kept, and whose they are.
type Options struct {
	// File keeps them over a restart.
	File            string
	Region, Account string
	Now             func() time.Time
}

// Alarms are the alarms of one account and region.
type Alarms struct {
	options Options

	mu sync.Mutex
	// all are sorted by name, which is how CloudWatch lists them.
	all []types.MetricAlarm
}

// Open reads what was kept.
func Open(o Options) (*Alarms, error) {
	a := &Alarms{options: o}
	data, err := os.ReadFile(o.File)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &a.all)
	}
	if err != nil {
		return nil, fmt.Errorf("read the alarms of %s: %w", o.File, err)
	}
	return a, nil
}

// save is called with the lock held, after a change.
func (a *Alarms) save() error {
	data, err := json.Marshal(a.all)
	if err == nil {
		err = os.WriteFile(a.options.File+".new", data, 0o644)
	}
	if err == nil {
		err = os.Rename(a.options.File+".new", a.options.File)
	}
	if err != nil {
		return &service.Fault{Code: "InternalServiceError", Message: err.Error(), Status: http.StatusInternalServerError}
	}
	return nil
}

// find is where an alarm is, or would be.
func (a *Alarms) find(name string) (at int, found bool) {
	return slices.BinarySearchFunc(a.all, name, func(alarm types.MetricAlarm, name string) int {
		return strings.Compare(*alarm.AlarmName, name)
	})
}

// PutMetricAlarm makes an alarm, without data at first, or gives one that exists another definition; its
// state stays.
func (a *Alarms) PutMetricAlarm(in *cloudwatch.PutMetricAlarmInput) (*cloudwatch.PutMetricAlarmOutput, error) {
	if err := checkMetricAlarm(in); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.options.Now().UTC()
	alarm := types.MetricAlarm{
		AlarmName: in.AlarmName, AlarmArn: aws.String(a.arn(*in.AlarmName)), AlarmDescription: in.AlarmDescription,
		ActionsEnabled: in.ActionsEnabled, AlarmActions: in.AlarmActions, OKActions: in.OKActions, InsufficientDataActions: in.InsufficientDataActions,
		Namespace: in.Namespace, MetricName: in.MetricName, Dimensions: in.Dimensions, Metrics: in.Metrics, Period: in.Period, Unit: in.Unit,
		Statistic: in.Statistic, ExtendedStatistic: in.ExtendedStatistic, EvaluationPeriods: in.EvaluationPeriods,
		DatapointsToAlarm: in.DatapointsToAlarm, Threshold: in.Threshold, ThresholdMetricId: in.ThresholdMetricId,
		ComparisonOperator: in.ComparisonOperator, TreatMissingData: in.TreatMissingData,
		EvaluateLowSampleCountPercentile:   in.EvaluateLowSampleCountPercentile,
		AlarmConfigurationUpdatedTimestamp: aws.Time(now),
		StateValue:                         types.StateValueInsufficientData, StateReason: aws.String("Unchecked: Initial alarm creation"),
		StateUpdatedTimestamp: aws.Time(now), StateTransitionedTimestamp: aws.Time(now),
	}
	if alarm.ActionsEnabled == nil {
		alarm.ActionsEnabled = aws.Bool(true)
	}
	at, found := a.find(*in.AlarmName)
	if found {
		before := a.all[at]
		alarm.StateValue, alarm.StateReason, alarm.StateReasonData = before.StateValue, before.StateReason, before.StateReasonData
		alarm.StateUpdatedTimestamp, alarm.StateTransitionedTimestamp = before.StateUpdatedTimestamp, before.StateTransitionedTimestamp
		a.all[at] = alarm
	} else {
		a.all = slices.Insert(a.all, at, alarm)
	}
	return &cloudwatch.PutMetricAlarmOutput{}, a.save()
}

func (a *Alarms) arn(name string) string {
	return fmt.Sprintf("arn:aws:cloudwatch:%s:%s:alarm:%s", a.options.Region, a.options.Account, name)
}

// SetAlarmState puts an alarm into a state. AWS's would leave it again at the next evaluation of its metric.
func (a *Alarms) SetAlarmState(in *cloudwatch.SetAlarmStateInput) (*cloudwatch.SetAlarmStateOutput, error) {
	if err := checkState(in); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	at, found := a.find(*in.AlarmName)
	if !found {
		return nil, notFound(*in.AlarmName)
	}
	alarm, now := &a.all[at], a.options.Now().UTC()
	if alarm.StateValue != in.StateValue {
		alarm.StateTransitionedTimestamp = aws.Time(now)
	}
	alarm.StateValue, alarm.StateReason, alarm.StateReasonData = in.StateValue, in.StateReason, in.StateReasonData
	alarm.StateUpdatedTimestamp = aws.Time(now)
	return &cloudwatch.SetAlarmStateOutput{}, a.save()
}

// DeleteAlarms deletes those that there are; a name that no alarm has is an error all the same.
func (a *Alarms) DeleteAlarms(in *cloudwatch.DeleteAlarmsInput) (*cloudwatch.DeleteAlarmsOutput, error) {
	if len(in.AlarmNames) > maxNames {
		return nil, tooMany("alarmNames")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var missing error
	for _, name := range in.AlarmNames {
		if at, found := a.find(name); found {
			a.all = slices.Delete(a.all, at, at+1)
		} else {
			missing = notFound(name)
		}
	}
	if err := a.save(); err != nil {
		return nil, err
	}
	return &cloudwatch.DeleteAlarmsOutput{}, missing
}

// Set puts an alarm into a state, and makes it if need be, as nobody can who has only the API.
func (a *Alarms) Set(name string, state types.StateValue, reason string) error {
	a.mu.Lock()
	_, found := a.find(name)
	a.mu.Unlock()
	if !found {
		_, err := a.PutMetricAlarm(&cloudwatch.PutMetricAlarmInput{
			AlarmName: aws.String(name), ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold, EvaluationPeriods: aws.Int32(1),
			Namespace: aws.String("AWS/ApplicationELB"), MetricName: aws.String("HTTPCode_Target_5XX_Count"), Period: aws.Int32(60),
			Statistic: types.StatisticSum, Threshold: aws.Float64(1),
		})
		if err != nil {
			return err
		}
	}
	_, err := a.SetAlarmState(&cloudwatch.SetAlarmStateInput{AlarmName: aws.String(name), StateValue: state, StateReason: aws.String(reason)})
	return err
}
