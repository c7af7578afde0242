/*
 * Telling evidence from what a runtime would unpack. Media types are the pusher's word: a runnable
 * image may call its layers signatures. What its layers are cannot be hidden, because runtimes
 * find out by the first bytes as well.
 *
 * Threads: any; no shared state
 */
#ifndef PROXY_ARCHIVE_H
#define PROXY_ARCHIVE_H

#include "crypto/bytes.h"
#include "gatehouse.h"

#define ARCHIVE_HEAD_BYTES 512 /* of the content are looked at: a tar header */

/* Whether content that begins with HEAD (all of it, when it is shorter) would be taken for a tar
 * archive or for a compressed one: gzip, zstd, bzip2, xz. */
bool archive_is_unpackable(struct bytes head);

#endif
