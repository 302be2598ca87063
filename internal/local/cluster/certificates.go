package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// serverName is whom clients expect, whatever address they reach it by.
const serverName = "temporal.gravity.test"

// certificates are files in one folder: an authority of the cluster's own, and what it signed for server and client.
type certificates struct {
	directory string
	mutual    bool // the frontend's clients show one as well
}

func (c *certificates) authority() string            { return filepath.Join(c.directory, "ca.pem") }
func (c *certificates) certificate(of string) string { return filepath.Join(c.directory, of+".pem") }
func (c *certificates) key(of string) string         { return filepath.Join(c.directory, of+".key") }

// makeCertificates makes them, unless they are there. The authority's key is written nowhere.
func makeCertificates(directory string, mutual bool) (*certificates, error) {
	c := &certificates{directory, mutual}
	if _, err := os.Stat(c.key("client")); !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of certificates: %w", err)
	}
	if err := c.make(); err != nil {
		return nil, fmt.Errorf("make certificates: %w", err)
	}
	return c, nil
}

func (c *certificates) make() error {
	root := certificate("Gravity's test authority")
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if err := writeCertificate(c.authority(), root, root, &rootKey.PublicKey, rootKey); err != nil {
		return err
	}
	for _, name := range []string{"server", "client"} { // in this order: the client's key is the last file
		leaf := certificate(name)
		leaf.DNSNames = []string{serverName}
		leaf.KeyUsage = x509.KeyUsageDigitalSignature
		// The server's services are clients of each other.
		leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		if name == "client" {
			leaf.DNSNames, leaf.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if err := writeCertificate(c.certificate(name), leaf, root, &key.PublicKey, rootKey); err != nil {
			return err
		}
		encoded, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		if err := writePEM(c.key(name), "PRIVATE KEY", encoded); err != nil {
			return err
		}
	}
	return nil
}

func certificate(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
}

func writeCertificate(file string, certificate, parent *x509.Certificate, public *ecdsa.PublicKey, signer *ecdsa.PrivateKey) error {
	encoded, err := x509.CreateCertificate(rand.Reader, certificate, parent, public, signer)
	if err != nil {
		return err
	}
	return writePEM(file, "CERTIFICATE", encoded)
}

func writePEM(file, kind string, content []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600)
}

// settings let every connection among the services be made with certificates on both sides, and those to the frontend
// with the server's at least (https://docs.temporal.io/references/configuration#tls).
func (c *certificates) settings() map[string]any {
	listen := map[string]any{
		"certFile": c.certificate("server"), "keyFile": c.key("server"),
		"requireClientAuth": true, "clientCaFiles": []string{c.authority()},
	}
	frontend := listen
	if !c.mutual {
		frontend = map[string]any{"certFile": c.certificate("server"), "keyFile": c.key("server")}
	}
	call := map[string]any{"serverName": serverName, "rootCaFiles": []string{c.authority()}}
	return map[string]any{
		"internode":    map[string]any{"server": listen, "client": call},
		"frontend":     map[string]any{"server": frontend},
		"systemWorker": map[string]any{"certFile": c.certificate("server"), "keyFile": c.key("server"), "client": call},
	}
}

// client is what a Go client needs; the services among themselves want its certificate in any case.
func (c *certificates) client() (*tls.Config, error) {
	own, err := tls.LoadX509KeyPair(c.certificate("client"), c.key("client"))
	if err != nil {
		return nil, fmt.Errorf("load the client's certificate: %w", err)
	}
	authority, err := os.ReadFile(c.authority())
	if err != nil {
		return nil, fmt.Errorf("load the authority's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s holds no certificate", c.authority())
	}
	return &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12}, nil
}

// environment is the same for a process.
func (c *certificates) environment() []string {
	variables := []string{
		"TEMPORAL_TLS=true",
		"TEMPORAL_TLS_SERVER_CA_CERT_PATH=" + c.authority(),
		"TEMPORAL_TLS_SERVER_NAME=" + serverName,
	}
	if !c.mutual {
		return variables
	}
	return append(variables,
		"TEMPORAL_TLS_CLIENT_CERT_PATH="+c.certificate("client"),
		"TEMPORAL_TLS_CLIENT_KEY_PATH="+c.key("client"))
}
