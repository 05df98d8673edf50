/* lines COUNT BLOCK TIMES: writes COUNT numbered lines of 100 bytes to standard output, BLOCK bytes a write(2), and then into
 * the file TIMES when it began and when the last write was done (CLOCK_MONOTONIC, nanoseconds). The lines are made before. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    long count = atol(argv[1]), block = atol(argv[2]), size = count * 100;
    char *all = malloc(size + 1);
    if (!all) return 1;
    for (long n = 0; n < count; n++) sprintf(all + n * 100, "%099ld\n", n);
    long long begin = now();
    for (long at = 0; at < size;) {
        long rest = size - at;
        long wrote = write(1, all + at, rest < block ? rest : block);
        if (wrote <= 0) return 1;
        at += wrote;
    }
    long long end = now();
    FILE *times = fopen(argv[3], "w");
    if (!times) return 1;
    fprintf(times, "%lld %lld\n", begin, end);
    return fclose(times) ? 1 : 0;
}
