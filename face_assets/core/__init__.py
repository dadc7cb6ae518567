"""What every room needs: errors, files, processes, settings, parameters, fingerprints."""
