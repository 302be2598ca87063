package platform

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"path"
	"sort"

	"github.com/goccy/go-yaml"

	"gravity/internal/local/aws/objects"
)

// maxExtension is the size in bytes up to which a file in .ebextensions is read.
const maxExtension = 1 << 20

// extensions reads the option settings from a version's .ebextensions, in the order of the files'
// names: a later file wins over an earlier one.
func (p *Platform) extensions(v *Version) (Settings, error) {
	if v == nil || v.Key == "" {
		return nil, nil
	}
	file, err := p.options.Objects.Open(v.Bucket, v.Key)
	if errors.Is(err, objects.ErrNotFound) {
		return nil, fmt.Errorf(msgBundleMissing.text, v.Label)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read only
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	archive, err := zip.NewReader(file, info.Size())
	if err != nil {
		return nil, nil //nolint:nilerr // what is no ZIP file fails on the instances, as on AWS
	}
	sort.SliceStable(archive.File, func(i, j int) bool { return archive.File[i].Name < archive.File[j].Name })
	settings := Settings{}
	for _, entry := range archive.File {
		if matched, _ := path.Match(".ebextensions/*.config", entry.Name); !matched {
			continue
		}
		if err := p.readExtension(entry, settings); err != nil {
			return nil, fmt.Errorf(msgBadExtension.text, entry.Name, v.Label, err)
		}
	}
	return settings, nil
}

func (p *Platform) readExtension(entry *zip.File, into Settings) error {
	content, err := entry.Open()
	if err != nil {
		return err
	}
	defer content.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(content, maxExtension))
	if err != nil {
		return err
	}
	var file struct {
		Options any `yaml:"option_settings"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		return err
	}
	found, err := optionSettings(file.Options)
	if err != nil {
		return err
	}
	for option, value := range found {
		if wrong := p.problem(option, value); wrong != "" {
			return errors.New(wrong)
		}
		into[option] = value
	}
	return nil
}

// optionSettings takes both forms: a map by namespace, and a list of single options.
func optionSettings(value any) (Settings, error) {
	found := Settings{}
	switch options := value.(type) {
	case nil:
	case map[string]any:
		for namespace, values := range options {
			named, isMap := values.(map[string]any)
			if !isMap {
				return nil, fmt.Errorf("option_settings: %s is not a map of options", namespace)
			}
			for name, text := range named {
				found[Option{namespace, name}] = fmt.Sprint(text)
			}
		}
	case []any:
		for _, element := range options {
			entry, isMap := element.(map[string]any)
			if !isMap || entry["option_name"] == nil {
				return nil, errors.New("option_settings: an element needs option_name and value")
			}
			namespace := nsProperties
			if entry["namespace"] != nil {
				namespace = fmt.Sprint(entry["namespace"])
			}
			found[Option{namespace, fmt.Sprint(entry["option_name"])}] = fmt.Sprint(entry["value"])
		}
	default:
		return nil, errors.New("option_settings is neither a map nor a list")
	}
	return found, nil
}
