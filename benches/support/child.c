/* The trivial child of the restart benchmark: the first thing it does is say when it began. */
#include <fcntl.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct { uint64_t at; uint64_t pid; } said = {
        (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, (uint64_t)getpid(),
    };
    int fifo = open(argv[argc - 1], O_WRONLY);
    if (write(fifo, &said, sizeof said) != sizeof said) return 1;
    for (;;) pause();
}
