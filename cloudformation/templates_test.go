package cloudformation_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/cloudformation"
	"gravity/internal/bundle"
	"gravity/internal/local/aws/stacks/specification"
	"gravity/internal/stacks/template"
)

func parsed(t *testing.T, name string) template.Template {
	t.Helper()
	text, err := cloudformation.Template(name)
	require.NoError(t, err)
	found, err := template.Parse(text)
	require.NoError(t, err)
	return found
}

func everyTemplate(t *testing.T, check func(t *testing.T, name string, of template.Template)) {
	t.Helper()
	for _, name := range cloudformation.Names() {
		t.Run(name, func(t *testing.T) { check(t, name, parsed(t, name)) })
	}
}

func TestEveryResourceTypeAndPropertyIsOneThatAWSPublishes(t *testing.T) {
	published, err := specification.Load()
	require.NoError(t, err)
	everyTemplate(t, func(t *testing.T, _ string, of template.Template) {
		for _, name := range template.Sorted(of.Resources) {
			resource := of.Resources[name]
			assert.Empty(t, published.Check(resource.Type, resource.Properties), "%s (%s)", name, resource.Type)
		}
	})
}

// pseudo are the names that every stack has.
var pseudo = []string{"AWS::AccountId", "AWS::NoValue", "AWS::Partition", "AWS::Region", "AWS::StackId", "AWS::StackName", "AWS::URLSuffix"}

func TestEveryReferenceIsToSomethingThatIsThere(t *testing.T) {
	published, err := specification.Load()
	require.NoError(t, err)
	everyTemplate(t, func(t *testing.T, _ string, of template.Template) {
		for _, use := range uses(of) {
			_, parameter := of.Parameters[use.name]
			resource, isResource := of.Resources[use.name]
			switch {
			case use.attribute != "":
				_, known := published.Types[resource.Type].Attribute(use.attribute)
				assert.True(t, isResource && known, "%s: %s has no attribute %s", use.at, use.name, use.attribute)
			case use.condition:
				assert.Contains(t, of.Conditions, use.name, use.at)
			default:
				assert.True(t, parameter || isResource || contains(pseudo, use.name), "%s: there is no %s", use.at, use.name)
			}
		}
	})
}

func contains(list []string, name string) bool {
	for _, one := range list {
		if one == name {
			return true
		}
	}
	return false
}

// use is one mention of a name in a template.
type use struct {
	at, name, attribute string
	condition           bool
}

func uses(of template.Template) []use {
	var found []use
	for name, condition := range of.Conditions {
		walk("Conditions/"+name, condition, true, &found)
	}
	for name, rule := range of.Rules {
		walk("Rules/"+name, rule, true, &found)
	}
	for name, resource := range of.Resources {
		walk("Resources/"+name, resource.Properties, false, &found)
		if resource.Condition != "" {
			found = append(found, use{at: name, name: resource.Condition, condition: true})
		}
		for _, other := range resource.DependsOn {
			found = append(found, use{at: name, name: other})
		}
	}
	for name, output := range of.Outputs {
		walk("Outputs/"+name, output.Value, false, &found)
		if output.Condition != "" {
			found = append(found, use{at: name, name: output.Condition, condition: true})
		}
	}
	return found
}

func walk(at string, value any, deciding bool, found *[]use) {
	switch v := value.(type) {
	case []any:
		for i, element := range v {
			walk(fmt.Sprintf("%s/%d", at, i), element, deciding, found)
		}
	case map[string]any:
		for name, argument := range v {
			switch name {
			case "Ref":
				*found = append(*found, use{at: at, name: argument.(string)})
			case "Fn::GetAtt":
				path := argument.([]any)
				*found = append(*found, use{at: at, name: path[0].(string), attribute: path[1].(string)})
			case "Fn::If":
				*found = append(*found, use{at: at, name: argument.([]any)[0].(string), condition: true})
				walk(at+"/"+name, argument.([]any)[1:], deciding, found)
			case "Fn::Sub":
				for _, part := range strings.Split(argument.(string), "${")[1:] {
					resource, attribute, _ := strings.Cut(part[:strings.Index(part, "}")], ".")
					*found = append(*found, use{at: at, name: resource, attribute: attribute})
				}
			case "Condition":
				if text, isName := argument.(string); deciding && isName {
					*found = append(*found, use{at: at, name: text, condition: true})
					continue
				}
				walk(at+"/"+name, argument, deciding, found)
			default:
				walk(at+"/"+name, argument, deciding, found)
			}
		}
	}
}

func TestEveryParameterIsExplainedUsedAndConstrained(t *testing.T) {
	everyTemplate(t, func(t *testing.T, _ string, of template.Template) {
		mentioned := map[string]bool{}
		for _, use := range uses(of) {
			mentioned[use.name] = true
		}
		for name, parameter := range of.Parameters {
			assert.NotEmpty(t, parameter.Description, name)
			assert.True(t, mentioned[name], "%s is used nowhere", name)
			typed := parameter.Type != "String" && parameter.Type != "Number"
			ranged := parameter.MinValue != nil && parameter.MaxValue != nil
			output := strings.Contains(parameter.Description, "The output ") // of another stack, which no person types
			assert.True(t, typed || ranged || parameter.AllowedPattern != "" || len(parameter.AllowedValues) > 0 || output, "%s takes anything", name)
		}
		for name, output := range of.Outputs {
			assert.NotEmpty(t, output.Description, name)
		}
	})
}

func TestADefaultOfAParameterIsOneThatItsConstraintsTake(t *testing.T) {
	everyTemplate(t, func(t *testing.T, _ string, of template.Template) {
		_, problems := of.Values(nil)
		for _, problem := range problems {
			assert.Contains(t, problem, "must have values", "the only thing that may be wrong with no values at all")
		}
	})
}

func TestCfnLintFindsNothing(t *testing.T) {
	program, err := exec.LookPath("cfn-lint")
	if err != nil {
		t.Skip("cfn-lint is not installed")
	}
	output, err := exec.Command(program, "--format", "parseable", "*.yaml").CombinedOutput()
	if strings.Contains(string(output), "command not found") { // a shim of pyenv without the program behind it
		t.Skip("cfn-lint is not installed")
	}
	require.NoError(t, err, string(output))
	assert.Empty(t, string(output))
}

func TestAnEnvironmentsStackDoesNotOwnItsVersion(t *testing.T) {
	properties := parsed(t, "environment").Resources["Environment"].Properties
	assert.NotContains(t, properties, "VersionLabel", "an update of the stack would take Gravity's deployment back")
	assert.NotContains(t, properties, "TemplateName")
}

// ruled is a bucket with the lifecycle rules of the template, to which nobody may add any.
type ruled struct {
	bundle.API
	t     *testing.T
	rules []types.LifecycleRule
}

func (r *ruled) GetBucketLifecycleConfiguration(context.Context, *s3.GetBucketLifecycleConfigurationInput, ...func(*s3.Options)) (*s3.GetBucketLifecycleConfigurationOutput, error) {
	return &s3.GetBucketLifecycleConfigurationOutput{Rules: r.rules}, nil
}

func (r *ruled) PutBucketLifecycleConfiguration(_ context.Context, in *s3.PutBucketLifecycleConfigurationInput, _ ...func(*s3.Options)) (*s3.PutBucketLifecycleConfigurationOutput, error) {
	for _, rule := range in.LifecycleConfiguration.Rules[len(r.rules):] {
		r.t.Errorf("the worker misses the rule %s, and would change what is the stack's", *rule.ID)
	}
	return &s3.PutBucketLifecycleConfigurationOutput{}, nil
}

func TestTheBucketHasEveryRuleThatTheWorkerWouldAdd(t *testing.T) {
	scope := pipelineScope(t, map[string]string{"ApplicationName": "shop"})
	lifecycle, err := scope.Resolve(scope.Template.Resources["Bucket"].Properties["LifecycleConfiguration"])
	require.NoError(t, err)
	bucket := &ruled{t: t}
	for _, rule := range lifecycle.(map[string]any)["Rules"].([]any) {
		id := rule.(map[string]any)["Id"].(string)
		bucket.rules = append(bucket.rules, types.LifecycleRule{ID: &id})
	}
	require.NoError(t, (&bundle.Store{S3: bucket}).EnsureLifecycle(t.Context(), "artifacts"))
}

// Which version an environment is on is the pipeline's to say: a stack that owned it would take a release back with
// its next change.
func TestNoStackOwnsAVersion(t *testing.T) {
	everyTemplate(t, func(t *testing.T, _ string, of template.Template) {
		for name, resource := range of.Resources {
			assert.NotContains(t, resource.Properties, "VersionLabel", name)
			assert.NotEqual(t, "AWS::ElasticBeanstalk::ApplicationVersion", resource.Type, name)
		}
	})
}
