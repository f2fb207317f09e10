package main

import "github.com/trustlayer/cofre/installation"

// What commands still do themselves and the library will.
var (
	baseBackups    = installation.BaseBackups
	damageOf       = installation.DamageOf
	incomplete     = installation.Incomplete
	initRepository = installation.InitRepository
	kitOf          = installation.KitOf
	nameVerified   = installation.NameVerified
	named          = installation.Named
	openTarget     = installation.OpenTarget
	pointChecks    = installation.PointChecks
	restoreServer  = installation.RestoreServer
	serverOf       = installation.ServerOf
	storageRowsOf  = installation.StorageRowsOf
	walCopies      = installation.WALCopies
	checkWAL       = installation.CheckWAL
	parallel       = installation.Parallel
)
