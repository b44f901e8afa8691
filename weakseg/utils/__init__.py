"""What any program needs: whole files, content keys, processes, signals, progress bars. Imports
nothing of weakseg."""
