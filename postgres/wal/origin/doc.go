// Package origin says where archived WAL comes from. The host that archives has a key of its own and signs each file with it; whoever has the
// repository's password admits the key. The recipient that WAL is encrypted for is public, so encryption alone says nothing of that.
//
//	a host, once              ──▶ wal/SYSTEM/origins/ID.request    its public key, in clear
//	whoever has the password  ──▶ wal/SYSTEM/origins/ID.admitted   it is believed
//	                              wal/SYSTEM/origins/ID.revoked    from here on it is not
//	                              wal/SYSTEM/counted/HASH          what it had signed until then, file by file
//	                              wal/SYSTEM/origins/required      from here on nothing else is
//
// All but the request carry a code that only the identity of the repository's WAL can make. Records are created, and never replaced
// but by one that says more.
//
// Read key.go first (what is signed), then records.go (who is believed), then counted.go (what a revoked key may still say).
package origin
