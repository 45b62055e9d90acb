"""Record LSL streams with LabRecorder under a supervisor process."""
