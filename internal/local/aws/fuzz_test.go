package aws_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
	"gravity/internal/local/aws/clock"
	"gravity/internal/local/aws/instance"
)

// signed sends a request with a right signature to the stand-in's handler, past the network.
func signed(t testing.TB, server *aws.Server, service, method, path, contentType string, body []byte) *httptest.ResponseRecorder {
	address := &url.URL{Scheme: "http", Host: "stand-in"}
	address.Path, address.RawQuery, _ = strings.Cut(path, "?")
	request := &http.Request{Method: method, URL: address, Host: address.Host, Header: http.Header{"Content-Type": {contentType}},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	sum := sha256.Sum256(body)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" }).SignHTTP(context.Background(),
		sdk.Credentials{AccessKeyID: "LOCALSTANDIN", SecretAccessKey: "local-stand-in"}, request, hex.EncodeToString(sum[:]), service, "us-east-1", time.Now())
	require.NoError(t, err)
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, request)
	return recorder
}

// wellFormed fails unless the document is well-formed XML.
func wellFormed(t testing.TB, document []byte) {
	decoder := xml.NewDecoder(bytes.NewReader(document))
	elements := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err, "%q", document)
		if _, isElement := token.(xml.StartElement); isElement {
			elements++
		}
	}
	require.NotZero(t, elements, "%q", document)
}

func FuzzTheEndpointAnswersEveryFormWithWellFormedXML(f *testing.F) {
	stepped := clock.NewStepped(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	server, err := aws.Start(f.Context(), aws.Options{DataDir: f.TempDir(), Pace: aws.RealPace(), Seed: 1, Clock: stepped,
		Runner: instance.Fakes{Clock: stepped, Handler: fakeApplication}})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, server.Close()) })

	for _, form := range []string{
		"Action=CreateApplication&ApplicationName=site",
		"Action=CreateApplicationVersion&ApplicationName=site&VersionLabel=v1&AutoCreateApplication=true&SourceBundle.S3Bucket=b&SourceBundle.S3Key=k",
		"Action=CreateEnvironment&ApplicationName=site&EnvironmentName=staging&SolutionStackName=" + url.QueryEscape(stack) +
			"&OptionSettings.member.1.Namespace=aws%3Aautoscaling%3Aasg&OptionSettings.member.1.OptionName=MinSize&OptionSettings.member.1.Value=2",
		"Action=DescribeEnvironments&EnvironmentNames.member.1=staging&IncludeDeleted=true&IncludedDeletedBackTo=2026-01-01T00:00:00Z&MaxRecords=3&NextToken=1",
		"Action=DescribeEvents&Severity=WARN&StartTime=2026-01-01T00%3A00%3A00.000Z&MaxRecords=1&NextToken=0",
		"Action=DescribeInstancesHealth&EnvironmentName=staging&AttributeNames.member.1=All",
		"Action=DescribeEnvironmentHealth&EnvironmentName=staging&AttributeNames.member.1=All",
		"Action=UpdateEnvironment&EnvironmentName=staging&VersionLabel=v1&OptionsToRemove.member.2.Namespace=x",
		"Action=AbortEnvironmentUpdate&EnvironmentId=e-1", "Action=TerminateEnvironment&EnvironmentName=staging",
		"Action=SwapEnvironmentCNAMEs&SourceEnvironmentName=staging&DestinationEnvironmentName=other",
		"Action=UpdateTagsForResource&ResourceArn=arn:aws:elasticbeanstalk:us-east-1:000000000000:application/site&TagsToAdd.member.1.Key=k&TagsToRemove.member.1=k",
		"Action=CreateConfigurationTemplate&ApplicationName=site&TemplateName=t&SourceConfiguration.TemplateName=u&EnvironmentId=e-1",
		"Action=UpdateApplicationResourceLifecycle&ApplicationName=site&ResourceLifecycleConfig.VersionLifecycleConfig.MaxCountRule.Enabled=true",
		"Action=ListPlatformVersions&Filters.member.1.Type=PlatformName&Filters.member.1.Operator=%3D&Filters.member.1.Values.member.1=Go",
		"Action=RequestEnvironmentInfo&InfoType=tail&EnvironmentName=staging", "Action=ValidateConfigurationSettings&ApplicationName=site",
		"Action=%00%3C%26&x=%zz", "", "Action=DescribeEvents&MaxRecords.member.1=1&.=&..&EnvironmentName.member=1",
	} {
		f.Add(form + "&Version=2010-12-01")
	}
	client := reflect.TypeFor[*eb.Client]()
	for i := range client.NumMethod() { // every operation, on what is there
		f.Add("Action=" + client.Method(i).Name + "&ApplicationName=site&EnvironmentName=staging&VersionLabel=v1&TemplateName=t&InfoType=tail&CNAMEPrefix=site" +
			"&AttributeNames.member.1=All&ResourceArn=arn:aws:elasticbeanstalk:us-east-1:000000000000:environment/site/staging&Version=2010-12-01")
	}
	f.Fuzz(func(t *testing.T, form string) {
		stepped.Advance(5 * time.Second) // so that what was begun goes on
		answer := signed(t, server, "elasticbeanstalk", http.MethodPost, "/", "application/x-www-form-urlencoded", []byte(form))
		wellFormed(t, answer.Body.Bytes())
		require.Contains(t, []int{200, 400, 403}, answer.Code, "%s", answer.Body)
	})
}

func FuzzS3AnswersEveryRequest(f *testing.F) {
	server, err := aws.Start(f.Context(), aws.Options{DataDir: f.TempDir(), Pace: aws.TestPace(), Seed: 1})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, server.Close()) })
	f.Add("PUT", "/bucket", "")
	f.Add("PUT", "/bucket/key", "content")
	f.Add("GET", "/bucket?list-type=2&prefix=k&delimiter=/&max-keys=1", "")
	f.Add("POST", "/bucket?delete", "<Delete><Object><Key>key</Key></Object></Delete>")
	f.Add("POST", "/bucket/key?uploads", "")
	f.Add("DELETE", "/bucket/key", "")
	f.Fuzz(func(t *testing.T, method, path, body string) {
		if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/_stand-in/") || strings.ContainsAny(method, " \x00") || method == "" {
			t.Skip("no request that Go's server would hand over")
		}
		answer := signed(t, server, "s3", method, path, "application/octet-stream", []byte(body))
		if strings.Contains(answer.Header().Get("Content-Type"), "xml") && answer.Body.Len() > 0 {
			wellFormed(t, answer.Body.Bytes())
		}
	})
}
