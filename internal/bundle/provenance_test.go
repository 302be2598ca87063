package bundle

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"gravity/internal/delivery"
)

func sampleProvenance() Provenance {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return Provenance{
		Bundle: "site/v1.zip", Manifest: Manifest{Digest: strings.Repeat("ab", 32)},
		Pipeline: "site", Repository: "https://github.com/a/b", Test: "go test ./...",
		Revision: delivery.Revision{SHA: strings.Repeat("12", 20), Ref: "refs/heads/main"},
		Builder:  "urn:example:fleet", BuilderVersion: "v1.2.3", Run: "run/site/1212", Started: at, Finished: at.Add(time.Minute),
	}
}

func TestProvenanceIsAStatementThatOthersCanRead(t *testing.T) {
	content, err := sampleProvenance().Statement()
	require.NoError(t, err)
	statement := &intoto.Statement{}
	require.NoError(t, protojson.Unmarshal(content, statement))
	require.NoError(t, statement.Validate())
	require.Equal(t, "https://slsa.dev/provenance/v1", statement.GetPredicateType())
	require.Equal(t, strings.Repeat("ab", 32), statement.GetSubject()[0].GetDigest()["sha256"])

	raw, err := json.Marshal(statement.GetPredicate())
	require.NoError(t, err)
	predicate := &slsa.Provenance{}
	require.NoError(t, protojson.Unmarshal(raw, predicate))
	require.NoError(t, predicate.Validate())
	source := predicate.GetBuildDefinition().GetResolvedDependencies()[0]
	require.Equal(t, "git+https://github.com/a/b@refs/heads/main", source.GetUri())
	require.Equal(t, strings.Repeat("12", 20), source.GetDigest()["gitCommit"])
	require.Equal(t, "urn:example:fleet", predicate.GetRunDetails().GetBuilder().GetId())
	require.Equal(t, "v1.2.3", predicate.GetRunDetails().GetBuilder().GetVersion()["gravity"])
	require.Equal(t, "run/site/1212", predicate.GetRunDetails().GetMetadata().GetInvocationId())
	require.Equal(t, "go test ./...", predicate.GetBuildDefinition().GetExternalParameters().GetFields()["test"].GetStringValue())
	require.Equal(t, time.Minute, predicate.GetRunDetails().GetMetadata().GetFinishedOn().AsTime().Sub(predicate.GetRunDetails().GetMetadata().GetStartedOn().AsTime()))

	again, err := sampleProvenance().Statement()
	require.NoError(t, err)
	require.Equal(t, string(content), string(again))
}

func TestProvenanceWithoutASourceOrBuilderIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Provenance){
		"no builder": func(p *Provenance) { p.Builder = "" },
		"no digest":  func(p *Provenance) { p.Manifest.Digest = "" },
		"no commit":  func(p *Provenance) { p.Revision.SHA = "" },
	} {
		t.Run(name, func(t *testing.T) {
			p := sampleProvenance()
			spoil(&p)
			_, err := p.Statement()
			require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err), "%v", err)
		})
	}
	require.Equal(t, "git+ssh://git@github.com/a/b.git@refs/tags/v1", sourceURI("git@github.com:a/b.git", "refs/tags/v1"))
}

func TestProvenanceLiesNextToItsBundleAndTheFirstStays(t *testing.T) {
	fake := newFakeS3(t)
	store := &Store{S3: fake.client}
	require.NoError(t, store.PutProvenance(t.Context(), "bundles", "site/v1.zip", []byte("first")))
	require.NoError(t, store.PutProvenance(t.Context(), "bundles", "site/v1.zip", []byte("second")))
	content, _ := fake.get(t, "site/v1.zip"+ProvenanceSuffix)
	require.Equal(t, "first", string(content))
	require.Error(t, store.PutProvenance(t.Context(), "no-bucket", "site/v1.zip", []byte("x")))
}
