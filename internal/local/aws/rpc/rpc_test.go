package rpc

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/smithy-go/encoding/cbor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 250_000_000, time.UTC)
	type inner struct {
		Name  *string
		Truth *bool
	}
	type outer struct {
		List  []inner
		Whole *int32
		Real  *float64
		At    *time.Time
	}
	written := outer{List: []inner{{aws.String("a"), aws.Bool(true)}, {aws.String("b"), aws.Bool(false)}}, Whole: aws.Int32(-7), Real: aws.Float64(0.5), At: aws.Time(at)}
	var read outer
	require.NoError(t, Decode(Response(&written), &read))
	assert.Equal(t, written, read)
}

func TestMembersOfTheWrongTypeAreNamed(t *testing.T) {
	for name, value := range map[string]cbor.Value{
		"AlarmNames must be a list":         cbor.Map{"AlarmNames": cbor.Uint(1)},
		"MaxRecords must be a whole number": cbor.Map{"MaxRecords": cbor.Float64(1.5)},
		"NextToken must be a string":        cbor.Map{"NextToken": cbor.Bool(true)},
		"the body must be a map":            cbor.List{},
	} {
		var in cloudwatch.DescribeAlarmsInput
		require.ErrorContains(t, Decode(cbor.Encode(value), &in), name)
	}
	var in cloudwatch.DescribeAlarmsInput
	require.ErrorContains(t, Decode(cbor.Encode(cbor.Map{"MaxRecords": cbor.Uint(1 << 40)}), &in), "MaxRecords must be a whole number")
}

func TestOnlyThisProtocolsRequestsAreTaken(t *testing.T) {
	request := httptest.NewRequest("POST", "/service/Some/operation/Do", strings.NewReader(""))
	assert.Empty(t, Operation(request, "Some"), "the header tells the protocol")
	request.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
	assert.Equal(t, "Do", Operation(request, "Some"))
	assert.Empty(t, Operation(request, "Other"))
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\xa1\x6aAlarmNames\x01"))
	f.Add([]byte(strings.Repeat("\x81", 1000)))
	f.Add(cbor.Encode(cbor.Map{"AlarmNames": cbor.List{cbor.String("a")}, "StateValue": cbor.String("OK")}))
	f.Fuzz(func(_ *testing.T, body []byte) {
		var in cloudwatch.DescribeAlarmsInput
		_ = Decode(body, &in) // whatever comes, it ends
		var put cloudwatch.PutMetricAlarmInput
		_ = Decode(body, &put)
	})
}
