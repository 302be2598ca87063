package aws

import "gravity/internal/local/aws/service"

// Register puts a further service onto the endpoint.
func (o *Options) Register(r service.Registration) { o.services = append(o.services, r) }
