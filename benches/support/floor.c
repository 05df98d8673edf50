/* The floor: nothing but fork, exec and wait, in a loop. */
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    (void)argc;
    for (;;) {
        pid_t pid = fork();
        if (pid == 0) {
            execv(argv[1], argv + 1);
            _exit(127);
        }
        if (pid < 0 || waitpid(pid, NULL, 0) < 0) return 1;
    }
}
