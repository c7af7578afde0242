/*
 * The certificates of listeners: read with the configuration that names them, put in force with it.
 *
 * Threads: certificates_add() before listeners start; certificates_prepare() and
 *          certificates_adopt(): one reload at a time, any thread
 */
#ifndef PROXY_CERTIFICATES_H
#define PROXY_CERTIFICATES_H

#include "gatehouse.h"

struct certificates;
struct certificates_next;
struct config;
struct config_tls;
struct gh_error;
struct tls;

GH_CHECKED bool certificates_new(struct certificates **out, struct gh_error *err);
/* After the listeners. Accepts NULL. */
void certificates_free(struct certificates *certificates);

/*
 * Read what the listener on ADDRESS needs.
 *
 * Gives: *out: borrowed, for as long as CERTIFICATES
 * Fails: where a file cannot be read or used
 */
GH_CHECKED bool certificates_add(struct certificates *certificates, const char *address,
                                 const struct config_tls *files, struct tls **out,
                                 struct gh_error *err);
/*
 * Read what CONFIG names for the listeners there are, and change nothing yet. A listener that
 * CONFIG does not name keeps what it has.
 *
 * Gives: *out: new, certificates_adopt() or certificates_next_free()
 * Fails: where a file cannot be read or used; place names the listener
 */
GH_CHECKED bool certificates_prepare(const struct certificates *certificates,
                                     const struct config *config, struct certificates_next **out,
                                     struct gh_error *err);
/* Put them in force for connections to come. Takes: next */
void certificates_adopt(struct certificates *certificates, struct certificates_next *next);
void certificates_next_free(struct certificates_next *next);
GH_DEFINE_FREEP(certificates_next, struct certificates_next)

#endif
