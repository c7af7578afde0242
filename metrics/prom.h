/*
 * Counters, gauges and histograms in the Prometheus text format. The families stand in prom.def.
 *
 * Each thread counts in cells of its own, without locks; a scrape sums them. A series comes into
 * being with its first use. A family holds at most PROM_MAX_SERIES of them: what is over is counted
 * in one series whose labels all read "overflow", so that sums stay right.
 *
 * Threads: any, as long as prom_free() comes last. One lock of rank GH_RANK_METRICS, taken when a
 * thread meets a series for the first time, when gauges are set, and by a scrape.
 */
#ifndef METRICS_PROM_H
#define METRICS_PROM_H

#include "gatehouse.h"

struct gh_error;
struct text;

#define PROM_MAX_LABELS 5
#define PROM_MAX_VALUE 128   /* bytes of a label value; longer ones are cut */
#define PROM_MAX_SERIES 2000 /* per family */

enum prom_family {
#define PROM_FAMILY(id, name, kind, buckets, help, ...) PROM_##id,
#include "metrics/prom.def"
#undef PROM_FAMILY
    PROM_FAMILY_COUNT
};

struct prom;

/* Gives: *out: new, prom_free(). Fails: INTERNAL_ERROR */
GH_CHECKED bool prom_new(struct prom **out, struct gh_error *err);
void prom_free(struct prom *prom);
GH_DEFINE_FREEP(prom, struct prom)

/*
 * Add to a counter. The label values follow in the family's order, all of them, as one array; NULL
 * reads as "". PROM may be NULL in all of these (nothing happens). About 50 ns.
 */
void prom_add(struct prom *prom, enum prom_family family, const char *const *labels,
              uint64_t delta);
/* Observe a duration (seconds) in a histogram. */
void prom_observe(struct prom *prom, enum prom_family family, const char *const *labels,
                  double seconds);
/* Move a gauge up or down by whole numbers; lock-free as prom_add(). */
void prom_shift(struct prom *prom, enum prom_family family, const char *const *labels,
                int64_t delta);
/* Set a gauge. Takes the lock. Do not mix with prom_shift() on one family. */
void prom_set(struct prom *prom, enum prom_family family, const char *const *labels, double value);
/* Forget every series of a gauge family that is set, before it is filled anew (a reload). */
void prom_clear(struct prom *prom, enum prom_family family);

#define PROM_LABELS(...) ((const char *const[]){__VA_ARGS__})

/* A counter or histogram looked up once; for what runs several times per request. */
struct prom_series;
/* New or known; lives as long as PROM. NULL when memory is out, and NULL may be used below. */
struct prom_series *prom_series_get(struct prom *prom, enum prom_family family,
                                    const char *const *labels);
void prom_series_add(struct prom *prom, const struct prom_series *series, uint64_t delta);
void prom_series_observe(struct prom *prom, const struct prom_series *series, double seconds);

/* Write the exposition (text format 0.0.4). Fails: INTERNAL_ERROR when OUT is full. */
GH_CHECKED bool prom_expose(struct prom *prom, struct text *out, struct gh_error *err);
/* The sum of a counter or the value of a gauge; 0 for what was never used. For tests and status. */
double prom_value(struct prom *prom, enum prom_family family, const char *const *labels);

#define PROM_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
