package platform

import "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

// message is one of the platform's event messages, with the verbs of fmt where AWS fills something in.
type message struct {
	severity types.EventSeverity
	text     string
}

func info(text string) message    { return message{types.EventSeverityInfo, text} }
func warning(text string) message { return message{types.EventSeverityWarn, text} }
func failure(text string) message { return message{types.EventSeverityError, text} }

// The messages that were seen in logs of the real platform, word for word.
var (
	msgUpdateStarting   = info("Environment update is starting.")
	msgDeploying        = info("Deploying new version to instance(s).")
	msgImmutable        = info("Immutable deployment policy enabled. Launching one instance with the new settings to verify health.")
	msgTemporaryGroup   = info("Created temporary auto scaling group %s.")
	msgInstanceDeployed = info("Instance deployment completed successfully.")
	msgAdding           = info("Adding new instance(s) (%s) to the load balancer.")
	msgWaiting          = info("Waiting for instance(s) (%s) to pass health checks.")
	msgAddedOne         = info("Added instance [%s] to your environment.")
	msgAddedMore        = info("Added instances [%s] to your environment.")
	msgTestPassed       = info("Test instance passed health checks. Launching remaining new instances.")
	msgAllLaunched      = info("Successfully launched all instances.")
	msgDetached         = info("Detached new instance(s) from temporary auto scaling group %s.")
	msgAttached         = info("Attached new instance(s) to the permanent auto scaling group %s.")
	msgPostDeployment   = info("Starting post-deployment configuration on new instances.")
	msgPostWaiting      = info("Waiting for post-deployment configuration to complete.")
	msgEndingOld        = info("Deployment succeeded. Terminating old instances and temporary Auto Scaling group.")
	msgRemoved          = info("Removed instance [%s] from your environment.")
	msgNewVersion       = info("New application version was deployed to running EC2 instances.")
	msgUpdateCompleted  = info("Environment update completed successfully.")
	msgNewConfiguration = info("Successfully deployed new configuration to environment.")

	msgDeploymentFailed = failure("Instance deployment failed. For details, see 'eb-engine.log'.")
	msgCommandFailed    = failure("[Instance: %s] Command failed on instance. Return code: 1 Output: Engine execution has encountered an error..")
	msgCommandSummary   = info("Command execution completed on all instances. Summary: [Successful: %d, Failed: %d].")
	msgUnsuccessful     = failure("Unsuccessful command execution on instance id(s) '%s'. Aborting the operation.")
	msgCommandTimedOut  = info("Command execution completed on all instances. Summary: [Successful: %d, TimedOut: %d].")
	msgTimedOut         = warning("The following instances have not responded in the allowed command timeout time (they might still finish eventually on their own): [%s].")
	msgChecksFailed     = failure("Instance id(s) '%s' did not pass health check after command execution. Aborting the operation.")
	msgDeployFailed     = failure("Failed to deploy application.")
	msgMixed            = failure("During an aborted deployment, some instances may have deployed the new application version. To ensure all instances are running the same version, re-deploy the appropriate application version.")
	msgConfigFailed     = failure("Failed to deploy configuration.")
	msgReverted         = info("The environment was reverted to the previous configuration setting.")
	msgTransition       = message{"", "Environment health has transitioned from %s to %s.%s"}

	msgBatchStarting    = info("Batch %d: Starting application deployment on instance(s) [%s].")
	msgBatchOut         = info("Batch %d: De-registering instance(s) from the load balancer and waiting for them to go out of service.")
	msgBatchCommand     = info("Batch %d: Starting application deployment command execution.")
	msgBatchCommandDone = info("Batch %d: Completed application deployment command execution.")
	msgCommandDone      = info("Command execution completed on %d of %d instances in environment.")
	msgBatchRegistering = info("Batch %d: Registering instance(s) with the load balancer and waiting for them to be healthy.")
	msgBatchCompleted   = info("Batch %d: Completed application deployment.")
	msgBatchAdditional  = info("Rolling with Additional Batch deployment policy enabled. Launching  a new batch of %d additional instance(s).")
	msgBatchLaunched    = info("Batch %d: %d EC2 instance(s) [%s] launched. Deploying application version '%s'.")
	msgUpdatingSettings = info("Updating environment %s's configuration settings.")
	msgBothImmutable    = failure("To enable immutable config and application deployments together, you must set both the DeploymentPolicy option (aws:elasticbeanstalk:command namespace) and the RollingUpdateType option (aws:autoscaling:updatepolicy:rollingupdate namespace) to Immutable.")

	msgCreateStarting    = info("createEnvironment is starting.")
	msgStorage           = info("Using %s as Amazon S3 storage bucket for environment data.")
	msgLoadBalancer      = info("Created load balancer named: %s")
	msgGroupCreated      = info("Created Auto Scaling group named: %s")
	msgLaunching         = info("Waiting for EC2 instances to launch. This may take a few minutes.")
	msgAvailable         = info("Application available at %s.")
	msgLaunched          = info("Successfully launched environment: %s")
	msgLaunchErrors      = failure("Create environment operation is complete, but with errors. For more information, see troubleshooting documentation.")
	msgTerminateStarting = info("terminateEnvironment is starting.")
	msgGroupDeleted      = info("Deleted Auto Scaling group named: %s")
	msgBalancerDeleted   = info("Deleted load balancer named: %s")
	msgTerminated        = info("terminateEnvironment completed successfully.")
	msgSwapStarting      = info("swapEnvironmentCNAMEs is starting.")
	msgSwapping          = info("Swapping CNAMEs for environments %s.")
	msgSwapped           = info("Completed swapping CNAMEs for environments %s.")
	msgSwapCompleted     = info("swapEnvironmentCNAMEs completed successfully.")
	msgRebuildStarting   = info("rebuildEnvironment is starting.")
	msgRestartStarting   = info("restartAppServer is starting.")
	msgRestarted         = info("restartAppServer completed successfully.")
	msgLogsStarting      = info("requestEnvironmentInfo is starting.")
	msgLogsCompleted     = info("requestEnvironmentInfo completed successfully.")
	msgVersionCreated    = info("Created new Application Version: %s")
)

// The messages of which no log was found: their wording is ours. Judge such an operation by
// severity, version label and instances, as one has to with the real platform.
var (
	msgTakingBack       = info("Deployment is taken back. Terminating temporary auto scaling group %s.")
	msgAbortRequested   = info("Environment update was aborted by a user request.")
	msgAbortCompleted   = info("Environment update has been aborted. The environment runs its previous application version.")
	msgReplacingBatch   = info("Batch %d: Replacing instance(s) [%s].")
	msgReplacing        = warning("Instance [%s] has terminated unexpectedly. Auto Scaling launches a replacement.")
	msgBadExtension     = failure("The configuration file %s in application version %s contains invalid YAML or JSON. %s. Update the configuration file.")
	msgSplitting        = info("Traffic splitting deployment policy enabled. Launching a new set of instances with the new version.")
	msgEvaluating       = info("Sending %d percent of the traffic to the new version for %d minute(s).")
	msgShifted          = info("The new version has stayed healthy. Sending all traffic to it.")
	msgEvaluationFailed = failure("Instance [%s] became %s during the evaluation of the new version.")
	msgRestartFailed    = failure("restartAppServer failed: the application did not start on every instance.")
	msgBundleMissing    = failure("Unable to download the source bundle of application version %s from Amazon S3.")
)
