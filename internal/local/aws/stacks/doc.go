// Package stacks is the stand-in's CloudFormation: stacks, change sets, events, outputs and drift, as far
// as Gravity's templates use them.
//
// Buckets and Elastic Beanstalk's resources are made for real, by calls to the stand-in's own endpoint. Other
// types of the specification are records: they have a physical ID and their documented attributes, so that Ref and
// GetAtt resolve, and nothing behind them. A type that is not in the specification is refused by its name.
//
// A stack's operation is a list of tasks, one resource each, carried out one after the other: slower than AWS,
// which does some at once, and never quicker. Where it stands is on disk before anything is called, so that a
// stand-in that is started again goes on.
package stacks
