package aws

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"gravity/internal/local/aws/alarms"
)

// SetAlarm puts an alarm into a state (OK, ALARM or INSUFFICIENT_DATA), and makes it where there is none of that name.
func (s *Server) SetAlarm(name, state, reason string) error {
	monitoring, ok := s.services[alarms.Name].(*alarms.Service)
	if !ok {
		return errors.New("this endpoint has no alarms")
	}
	return monitoring.Set(name, types.StateValue(state), reason)
}
