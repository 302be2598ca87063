package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"gravity/internal/delivery"
)

const (
	// predicateType is SLSA's name for provenance of its first version.
	predicateType = "https://slsa.dev/provenance/v1"
	// buildType names how a bundle is made: a checkout, the pipeline's build and test commands, a
	// bundle. Change it when that, or the meaning of the parameters below, changes.
	buildType = "urn:gravity:build:v1"
	// ProvenanceSuffix is added to a bundle's key to name its provenance.
	ProvenanceSuffix = ".provenance.json"
)

// Provenance says where a bundle came from. It holds no secret: everybody who may read the bundle
// may read it.
type Provenance struct {
	// Bundle is the object's key, and Manifest describes it.
	Bundle   string
	Manifest Manifest
	// Pipeline, Repository, Path, Build and Test are what the pipeline asked for.
	Pipeline, Repository, Path, Build, Test string
	// Revision that was bundled.
	Revision delivery.Revision
	// Builder is a URI that names the fleet that built it, and BuilderVersion its program's version.
	Builder, BuilderVersion string
	// Run is the workflow ID of the run.
	Run string
	// Started and Finished bound the build.
	Started, Finished time.Time
}

// Statement is the provenance as an in-toto statement with SLSA's predicate, in JSON. The same
// provenance is always the same bytes.
func (p Provenance) Statement() ([]byte, error) {
	parameters := map[string]any{"repository": p.Repository, "revision": p.Revision.SHA}
	for name, value := range map[string]string{"ref": p.Revision.Ref, "path": p.Path, "build": p.Build, "test": p.Test, "pipeline": p.Pipeline} {
		if value != "" {
			parameters[name] = value
		}
	}
	external, err := structpb.NewStruct(parameters)
	if err != nil {
		return nil, fmt.Errorf("describe the build of %s: %w", p.Bundle, err)
	}
	predicate := &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{
			BuildType:          buildType,
			ExternalParameters: external,
			ResolvedDependencies: []*intoto.ResourceDescriptor{{
				Uri: sourceURI(p.Repository, p.Revision.Ref), Digest: map[string]string{"gitCommit": p.Revision.SHA},
			}},
		},
		RunDetails: &slsa.RunDetails{
			Builder:  &slsa.Builder{Id: p.Builder, Version: map[string]string{"gravity": p.BuilderVersion}},
			Metadata: &slsa.BuildMetadata{InvocationId: p.Run, StartedOn: timestamppb.New(p.Started), FinishedOn: timestamppb.New(p.Finished)},
		},
	}
	if err := predicate.Validate(); err != nil {
		return nil, delivery.Errorf(delivery.InvalidInput, "provenance of %s: %w", p.Bundle, err)
	}
	asStruct := &structpb.Struct{}
	content, err := protojson.Marshal(predicate)
	if err == nil {
		err = protojson.Unmarshal(content, asStruct)
	}
	if err != nil {
		return nil, fmt.Errorf("provenance of %s: %w", p.Bundle, err)
	}
	statement := &intoto.Statement{
		Type:          intoto.StatementTypeUri,
		Subject:       []*intoto.ResourceDescriptor{{Name: p.Bundle, Digest: map[string]string{"sha256": p.Manifest.Digest}}},
		PredicateType: predicateType,
		Predicate:     asStruct,
	}
	if err := statement.Validate(); err != nil {
		return nil, delivery.Errorf(delivery.InvalidInput, "provenance of %s: %w", p.Bundle, err)
	}
	if content, err = protojson.Marshal(statement); err != nil {
		return nil, fmt.Errorf("provenance of %s: %w", p.Bundle, err)
	}
	// protojson varies its white space on purpose.
	var indented bytes.Buffer
	if err := json.Indent(&indented, compact(content), "", "  "); err != nil {
		return nil, fmt.Errorf("provenance of %s: %w", p.Bundle, err)
	}
	return append(indented.Bytes(), '\n'), nil
}

func compact(content []byte) []byte {
	var compacted bytes.Buffer
	if json.Compact(&compacted, content) != nil {
		return content
	}
	return compacted.Bytes()
}

// sourceURI is how SLSA writes a git repository and a ref.
func sourceURI(repository, ref string) string {
	if !strings.Contains(repository, "://") {
		host, path, _ := strings.Cut(repository, ":")
		repository = "ssh://" + host + "/" + strings.TrimPrefix(path, "/")
	}
	uri := "git+" + repository
	if ref != "" {
		uri += "@" + ref
	}
	return uri
}

// PutProvenance keeps a statement next to its bundle. The first one stays: a build that is repeated
// makes the same bundle, at another time.
func (s *Store) PutProvenance(ctx context.Context, bucket, key string, statement []byte) error {
	key += ProvenanceSuffix
	_, err := s.S3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(statement),
		ContentType: aws.String("application/vnd.in-toto+json"), IfNoneMatch: aws.String("*"),
		ChecksumAlgorithm: s3types.ChecksumAlgorithmSha256,
	})
	if failedWith(err, http.StatusPreconditionFailed) || failedWith(err, http.StatusConflict) {
		return nil // one is there, or on its way
	}
	return explain(err, "upload of", bucket, key)
}
