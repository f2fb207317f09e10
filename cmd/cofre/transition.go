package main

import "github.com/trustlayer/cofre/installation"

// What commands still do themselves and the library will.
var (
	baseBackups    = installation.BaseBackups
	clusterSource  = installation.ClusterSource
	configured     = installation.Configured
	damageOf       = installation.DamageOf
	incomplete     = installation.Incomplete
	initRepository = installation.InitRepository
	kitOf          = installation.KitOf
	nameFindings   = installation.NameFindings
	nameVerified   = installation.NameVerified
	named          = installation.Named
	openStore      = installation.OpenStore
	openTarget     = installation.OpenTarget
	pointChecks    = installation.PointChecks
	restoreServer  = installation.RestoreServer
	serverOf       = installation.ServerOf
	sources        = installation.Sources
	storageRowsOf  = installation.StorageRowsOf
	walCopies      = installation.WALCopies
	checkWAL       = installation.CheckWAL
	parallel       = installation.Parallel
)

const clusterName = installation.ClusterName

const toRead = installation.ToRead

var openOne = installation.OpenOne
