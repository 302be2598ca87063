// Package aws is the local stand-in for Elastic Beanstalk, S3 and CloudWatch's alarms. It speaks their wire protocols
// on one endpoint, runs applications as real processes behind a real load balancer, and behaves
// as the platform does, its failures included.
//
// Clients need nothing of this package. They set endpoint (AWS_ENDPOINT_URL), region and
// credentials as for AWS; signatures are checked. S3 is served in path style only. An
// environment's CNAME is an address of this machine with a port: http://CNAME works as it does on
// AWS.
//
// # What is covered
//
// Of API version 2010-12-01 every operation but ApplyEnvironmentManagedAction,
// ComposeEnvironments, CreatePlatformVersion and DeletePlatformVersion, which are answered with
// InvalidAction. Only the Query protocol is spoken, not the JSON that the service also
// understands. Environments are of the web server tier (others are refused), with an application
// load balancer; they cannot be terminated without their resources. There is no automatic scaling
// by load: instances are as many as MinSize says, and one that dies is replaced. Managed platform
// updates, custom platforms, builds by CodeBuild, log analysis and notifications do not
// exist. Options of namespaces that have no meaning here are taken and do nothing; of processes,
// only the default one is served.
//
// Of CloudWatch there are metric alarms (PutMetricAlarm, SetAlarmState, DescribeAlarms, DeleteAlarms), in
// both protocols that clients use, and no metrics: an alarm stays in the state into which it was put.
//
// An instance is a folder and the processes that the bundle's Procfile starts in it, with PORT and
// the environment properties set; Buildfile and .platform/hooks (prebuild, predeploy, postdeploy)
// run before and after, as on the Go platform, which builds an application.go by itself; and the
// option settings of .ebextensions are in force from the beginning of a deployment. There is no
// proxy beside the application, no container and no user of its own: whoever runs the stand-in
// runs the applications. The process option Port is 80, where AWS's proxy listens, or the
// application's own port (the property PORT, 5000 without it); on any other nobody listens.
//
// Further services of the endpoint are packages of their own: see package service.
//
// # Where AWS's behaviour is not known for certain
//
// The stand-in does what is hardest on a caller. While an operation runs, an application that fails
// shows as Info and Green, and so it does for three health reports after. Answers of 4xx lower
// health like those of 5xx. All at once is done as soon as the processes were started, whether they
// serve or not. Events of health have no request ID. The events' wordings, known and made up, are
// one table: platform/messages.go. What an update comes to, event by event, is recorded in
// testdata/outcomes for every policy.
//
// Where AWS is said to behave in two ways, an option chooses: NewLabelWhileUpdating (without it the
// old version label stays until an update is done), VersionWithSettings (without it both in one
// update are refused), AbortStops (without it an abort takes immutable and traffic splitting
// updates back), and the fault throttlingCode.
//
// # Time
//
// Pace says how long the platform takes for what it does, Options.Clock how fast time itself
// passes: clock.Real, clock.Scaled, or clock.NewStepped for tests that want an hour to take a
// moment. What users and processes do always takes real time.
//
// # Faults
//
// Options.Faults, Server.SetFaults, the endpoint /_stand-in/faults and the flags of starter up say
// what goes wrong: see Faults of package faults. The same seed gives the same fate to an
// operation's first call, to its second and so on, and the same names to what is made. AWS
// publishes no rates at which it throttles, so every rate is the caller's own.
//
// # State
//
// All of it is in Options.DataDir, written as it changes. A stand-in that is started on it again,
// after being closed or killed, goes on in the middle of whatever was under way.
package aws
