// Package testkit gives tests the real services they talk to: PostgreSQL of every major on the machine, and S3.
//
// There is no mock of either in it. A service that is missing skips the test with the reason, and fails it
// if COFRE_REQUIRE (a list: postgres,s3) names the service, so that nothing is skipped unseen where it counts.
// services.sh installs what is missing. Read postgres.go first.
package testkit
