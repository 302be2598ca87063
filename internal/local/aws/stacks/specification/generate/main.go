// Generate cuts specification.json out of AWS's published one: the types that the templates use.
//
//	npm pack @aws-cdk/aws-service-spec && tar xf aws-cdk-aws-service-spec-*.tgz
//	DATABASE=$PWD/package/db.json.gz go generate ./internal/local/aws/stacks/specification
package main

import (
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"gravity/internal/local/aws/stacks/specification"
	"gravity/internal/stacks/template"
)

func main() {
	templates := flag.String("templates", "cloudformation", "folder of the templates")
	database := flag.String("database", "", "db.json.gz of @aws-cdk/aws-service-spec, beside its package.json")
	flag.Parse()
	if err := generate(*templates, *database); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// published is the part of AWS's database that is read here.
type published struct {
	Schema struct {
		Resource       struct{ Entities []entity }
		TypeDefinition struct{ Entities []entity }
	}
}

type entity struct {
	ID                string `json:"$id"`
	CloudFormation    string `json:"cloudFormationType"`
	Name              string
	PrimaryIdentifier []string
	CfnRefIdentifier  []string
	IsStateful        bool
	ArnTemplate       string
	Attributes        map[string]struct{ Type shape }
	Properties        map[string]struct {
		Type              shape
		Required          bool
		CausesReplacement string
	}
}

type shape struct {
	Type      string
	Element   *shape
	Types     []shape
	Reference struct {
		Ref string `json:"$ref"`
	}
}

func generate(templates, database string) error {
	file, err := os.Open(database)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	var all published
	if err := json.NewDecoder(unzipped).Decode(&all); err != nil {
		return err
	}
	source, err := sourceOf(filepath.Join(filepath.Dir(database), "package.json"))
	if err != nil {
		return err
	}
	wanted, err := typesOf(templates)
	if err != nil {
		return err
	}
	c := cutter{definitions: map[string]entity{}}
	for _, definition := range all.Schema.TypeDefinition.Entities {
		c.definitions[definition.ID] = definition
	}
	cut := specification.Specification{Source: source, Types: map[string]specification.Type{}}
	for _, resource := range all.Schema.Resource.Entities {
		if wanted[resource.CloudFormation] {
			cut.Types[resource.CloudFormation] = c.resource(resource)
		}
	}
	for name := range wanted {
		if _, found := cut.Types[name]; !found {
			return fmt.Errorf("AWS publishes no resource type %s", name)
		}
	}
	encoded, err := json.MarshalIndent(cut, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile("specification.json", append(encoded, '\n'), 0o644)
}

func sourceOf(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var described struct{ Name, Version, License string }
	if err := json.Unmarshal(data, &described); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s (%s)", described.Name, described.Version, described.License), nil
}

func typesOf(folder string) (map[string]bool, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	types := map[string]bool{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		parsed, err := template.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, resource := range parsed.Resources {
			types[resource.Type] = true
		}
	}
	return types, nil
}

// cutter takes one resource type out, with the definitions that it needs.
type cutter struct {
	definitions map[string]entity
	needed      map[string]map[string]specification.Property
}

func (c *cutter) resource(of entity) specification.Type {
	c.needed = map[string]map[string]specification.Property{}
	cut := specification.Type{
		Reference: of.CfnRefIdentifier, Stateful: of.IsStateful, Arn: of.ArnTemplate,
		Attributes: map[string]specification.Shape{}, Properties: c.properties(of),
	}
	if len(cut.Reference) == 0 {
		cut.Reference = of.PrimaryIdentifier
	}
	for name, attribute := range of.Attributes {
		cut.Attributes[name] = c.shape(attribute.Type)
	}
	cut.Definitions = c.needed
	return cut
}

func (c *cutter) properties(of entity) map[string]specification.Property {
	properties := map[string]specification.Property{}
	for name, property := range of.Properties {
		cut := specification.Property{Shape: c.shape(property.Type), Required: property.Required}
		if property.CausesReplacement != "no" {
			cut.Replaces = property.CausesReplacement
		}
		properties[name] = cut
	}
	return properties
}

func (c *cutter) shape(of shape) specification.Shape {
	cut := specification.Shape{Kind: of.Type}
	if of.Element != nil {
		cut.Of = []specification.Shape{c.shape(*of.Element)}
	}
	for _, alternative := range of.Types {
		cut.Of = append(cut.Of, c.shape(alternative))
	}
	if of.Type == "ref" {
		definition := c.definitions[of.Reference.Ref]
		cut.Ref = definition.Name
		if _, done := c.needed[definition.Name]; !done {
			c.needed[definition.Name] = nil // definitions may refer to themselves
			c.needed[definition.Name] = c.properties(definition)
		}
	}
	return cut
}
